"""A policy asked in this process, batch by batch.

A batch is always computed whole, so that a resumed stage rounds as an undisturbed one and ends with the same bytes.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count, islice

import torch
import torch.distributed as dist

from compiler.schema.sampling import Sampling
from runtime.clients.ledger import Ledger, ledger_file
from runtime.clients.progress import Progress
from runtime.clients.request import Completion, Request, Usage, digest
from runtime.context import Context
from runtime.engine import generate as engine
from runtime.engine.model import Model
from runtime.engine.parallel import start
from runtime.policy import TOKENIZER, answering_precision, open_policy
from runtime.randomness import uniforms
from runtime.shares import ShareDoneError
from runtime.tokenizer import ChatTokenizer

_WINDOW = 65_536
"""Rows that are sorted by length together, and of which the prompts are in memory at once."""

_starts = count()


@contextmanager
def open_in_process(ref: str, ctx: Context) -> Iterator["Policy"]:
    """Loads the policy's weights; joins the ranks, unless the stage has done so."""
    folder = ctx.input(ref)
    tokenizer = ChatTokenizer.load(folder / TOKENIZER)
    with joined(ctx):
        model = open_policy(folder, ctx.placement.layout, answering_precision(folder))
        policy = Policy(model, tokenizer, ctx.manifest.inputs[ref].fingerprint, ctx)
        del model
        try:
            yield policy
        finally:
            # Another may take its place: two at once may not fit.
            del policy.model


@contextmanager
def joined(ctx: Context, *, seed: int = 0) -> Iterator[None]:
    """Makes this process a rank of its stage, once at a time; a stage that opens models one after the other meets its
    ranks at a new place each time."""
    if dist.is_initialized():
        yield
        return
    meeting = ctx.rendezvous and ctx.rendezvous.with_name(f"{ctx.rendezvous.name}-{next(_starts)}")
    with start(ctx.placement.layout, rank=ctx.rank, world_size=ctx.world_size, rendezvous=meeting, seed=seed):
        yield


class Policy:
    """An open policy; see `LanguageModel`."""

    def __init__(self, model: Model, tokenizer: ChatTokenizer, name: str, ctx: Context) -> None:
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        self._ctx = ctx

    def ask(
        self,
        requests: Iterable[Request],
        *,
        ledger: str,
        total: int | None = None,
        tell: bool = True,
    ) -> Iterator[Completion]:
        """A completion for each request, in order. Prompts that leave no room for their answer are rejected."""
        ctx = self._ctx
        progress = Progress(ctx, requests, total, tell=tell)
        with Ledger(ledger_file(ctx, ledger, ctx.shard)) as rows:
            waiting = iter(requests)
            while window := list(islice(waiting, _WINDOW)):
                places = self._answer(window, rows, progress)
                if ctx.shard is None:
                    yield from map(rows.read, places)
        progress.end()
        if ctx.shard is not None:
            raise ShareDoneError

    def _answer(self, window: Sequence[Request], rows: Ledger, progress: Progress) -> list[int]:
        """Answers this window's rows, or the share's; returns where each lies in the ledger."""
        names = [digest(request, self.name) for request in window]
        if len(set(names)) != len(names):
            raise ValueError("two requests of one `ask` are the same: their keys must differ")
        places = [rows.find(name) for name in names]
        for place in places:
            if place is not None:
                progress.found(rows.read(place))
        prompts = [self.tokenizer.encode_prompt(request.messages, request.speaker) for request in window]
        fitting: dict[Sampling, list[int]] = {}
        for row, (request, prompt) in enumerate(zip(window, prompts, strict=True)):
            if reason := self._too_long(request, prompt):
                if places[row] is None:
                    rejected = Completion(request.key, "", (), False, 0.0, Usage(len(prompt), 0), reason)
                    places[row] = rows.append(names[row], rejected)
                    progress.add(rejected)
            else:
                fitting.setdefault(request.sampling, []).append(row)
        for sampling, group in fitting.items():
            done = self._done_everywhere([places[row] is not None for row in group])
            of_group = [window[row] for row in group], [prompts[row] for row in group]
            for found in self._generate(sampling, *of_group, done):
                row = group[found.index]
                if places[row] is None:
                    completion = self._completion(window[row], len(prompts[row]), found)
                    places[row] = rows.append(names[row], completion)
                    progress.add(completion)
        return [place for place in places if place is not None]

    def _generate(
        self,
        sampling: Sampling,
        requests: Sequence[Request],
        prompts: Sequence[Sequence[int]],
        done: set[int],
    ) -> Iterator[engine.Completion]:
        return engine.generate(
            self.model,
            prompts,
            max_new_tokens=sampling.max_new_tokens,
            end_id=self.tokenizer.end_id,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            uniforms=lambda row: uniforms(sampling.max_new_tokens, requests[row].seed, requests[row].key),
            batch_size=self._ctx.placement.rows_at_once,
            done=done,
            share=self._ctx.share,
        )

    def _too_long(self, request: Request, prompt: Sequence[int]) -> str:
        room = self.model.spec.seq_length
        new = request.sampling.max_new_tokens
        return "" if len(prompt) + new <= room else f"leaves no room for {new} new tokens in {room}"

    def _completion(self, request: Request, prompt_tokens: int, found: engine.Completion) -> Completion:
        ids = (*found.token_ids, *((self.tokenizer.end_id,) if found.finished else ()))
        text = self.tokenizer.decode(ids, role=request.speaker)
        return Completion(request.key, text, ids, found.finished, float(found.logprob), Usage(prompt_tokens, len(ids)))

    def _done_everywhere(self, done: Sequence[bool]) -> set[int]:
        """Rows that every rank has in its ledger: ranks that a kill stopped apart must compute the same batches."""
        agreed = torch.tensor(done, dtype=torch.uint8, device=next(self.model.chunks[0].parameters()).device)
        if dist.get_world_size() > 1:
            dist.all_reduce(agreed, op=dist.ReduceOp.MIN)
        return set(agreed.nonzero()[:, 0].tolist())

"""Batched generation with a key/value cache, greedy or sampled, reproducible row by row.

Shapes: B rows of a batch, L tokens of the padded prompts, V vocabulary, K candidates of the nucleus.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from megatron.core.inference.contexts.static_context import StaticInferenceContext
from torch import Tensor, nn

from runtime.engine import pipeline
from runtime.engine.decode import Decoder, can_decode
from runtime.engine.model import Model

Uniforms = Callable[[int], np.ndarray]
"""row -> float64 [max_new_tokens] in [0, 1): one number for each position that the row may come to."""

# Rows that are done stay in the batch until so few are left that copying the cache pays: on one CPU core, 512 prompts
# of 15 tokens and 25 new tokens, copying at 3/4 is as fast as at 1/2 and 9/10 within noise.
_COMPACT_BELOW = 0.75

# The nucleus is nearly always inside the likeliest few tokens; rows for which it is not look at more, and at last at
# all of them: of 48 rows of 49,152 tokens on one core of an AMD EPYC, 5 ms for 64, 24 for 1024, 193 for all.
_CANDIDATES = (64, 1024)


@dataclass(frozen=True)
class Completion:
    """What the model wrote after one prompt."""

    index: int
    """The prompt's place among the prompts."""
    token_ids: tuple[int, ...]
    """Without the end token."""
    logprob: float
    """Sum over the tokens, end token included, by the model's own distribution: no temperature, no nucleus."""
    finished: bool
    """Whether it ended by the end token, and not for want of room."""


def generate(
    model: Model,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    end_id: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    uniforms: Uniforms | None = None,
    batch_size: int = 256,
    done: Container[int] = frozenset(),
    share: tuple[int, int] = (0, 1),
) -> Iterator[Completion]:
    """Completes every prompt, batch by batch in the order of `plan_batches`; greedy at temperature 0.

    Rows in `done` are not yielded again, and a batch of nothing else is not computed. A batch is always computed whole,
    so that an interrupted run that is told what it has finished yields the same bits as one that was not interrupted:
    matrix products of other shapes may round differently.

    `share` is (number, of): of all batches every so-manieth is computed, so that all shares together are the whole,
    bit by bit.

    A sampled token depends on the row's own uniform at that position and on its probabilities, not on its neighbours.
    """
    _refuse(model, prompts, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, uniforms=uniforms)
    was_training = model.chunks[0].training
    for chunk in model.chunks:
        chunk.eval()
    try:
        number, of = share
        decoder = Decoder(model) if max_new_tokens > 1 and can_decode(model) else None
        for rows in plan_batches([len(prompt) for prompt in prompts], batch_size=batch_size)[number::of]:
            if all(row in done for row in rows):
                continue
            batch = _Generation(model, rows, [prompts[row] for row in rows], max_new_tokens, end_id)
            noise = None if uniforms is None or temperature == 0 else np.stack([uniforms(row) for row in rows])
            with torch.no_grad():
                _run(model, decoder, batch, temperature=temperature, top_p=top_p, noise=noise)
            yield from (batch.completion(place) for place, row in enumerate(rows) if row not in done)
    finally:
        for chunk in model.chunks:
            chunk.train(was_training)


def plan_batches(lengths: Sequence[int], *, batch_size: int) -> list[list[int]]:
    """Which rows are computed together: rows of like length, so that little is padded. A function of its arguments."""
    order = sorted(range(len(lengths)), key=lambda row: (lengths[row], row))
    return [order[begin : begin + batch_size] for begin in range(0, len(order), batch_size)]


@dataclass
class _Generation:
    """One batch under way. `alive` are the places of the rows that are still in the cache."""

    model: Model
    rows: Sequence[int]
    prompts: Sequence[Sequence[int]]
    max_new_tokens: int
    end_id: int
    written: list[list[int]] = field(init=False)
    logprobs: list[float] = field(init=False)
    ended: list[bool] = field(init=False)
    room: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.written = [[] for _ in self.rows]
        self.logprobs = [0.0] * len(self.rows)
        self.ended = [False] * len(self.rows)
        self.room = [min(self.max_new_tokens, self.model.spec.seq_length - len(prompt)) for prompt in self.prompts]

    def add(self, place: int, token: int, logprob: float) -> bool:
        """Takes the row's next token; returns whether the row is done."""
        self.logprobs[place] += logprob
        if token == self.end_id:
            self.ended[place] = True
            return True
        self.written[place].append(token)
        return len(self.written[place]) >= self.room[place]

    def completion(self, place: int) -> Completion:
        return Completion(
            index=self.rows[place],
            token_ids=tuple(self.written[place]),
            logprob=self.logprobs[place],
            finished=self.ended[place],
        )


def _run(
    model: Model,
    decoder: Decoder | None,
    batch: _Generation,
    *,
    temperature: float,
    top_p: float,
    noise: np.ndarray | None,
) -> None:
    device = next(model.chunks[0].parameters()).device
    # Several samples of one prompt read it once.
    places = {prompt: place for place, prompt in enumerate(dict.fromkeys(map(tuple, batch.prompts)))}
    lengths = torch.tensor([len(prompt) for prompt in places])
    longest = int(lengths.max())
    tokens_BL = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in places])
    padding_B = (longest - lengths).to(device) if int(lengths.min()) < longest else None
    num_steps = max(batch.room)
    context = StaticInferenceContext(len(places), longest + num_steps)
    noise_BT = None if noise is None else torch.from_numpy(noise).to(device)

    inputs = tokens_BL.to(device)
    alive = list(range(len(batch.rows)))
    open_rows = [True] * len(alive)
    for step in range(num_steps):
        mask = None if padding_B is None else _mask(padding_B, inputs.shape[1], longest + step)
        if step > 0 and decoder is not None:
            logits_BV = decoder.step(inputs[:, 0], mask, context.key_value_memory_dict, last=longest + step - 1)
        else:
            logits_BV = _next_logits(model, inputs, mask, context)
        context.increment_sequence_len_offset(inputs.shape[1])
        context.enable_decode_mode()
        if step == 0 and len(places) < len(alive):
            read = torch.tensor([places[tuple(prompt)] for prompt in batch.prompts], device=device)
            _choose(context, read)
            logits_BV = logits_BV[read]
            padding_B = None if padding_B is None else padding_B[read]
        if noise_BT is None:
            tokens_B = logits_BV.argmax(dim=-1)
        else:
            tokens_B = sample(logits_BV, noise_BT[:, step], temperature=temperature, top_p=top_p)
        chosen_B = logits_BV.gather(1, tokens_B[:, None])[:, 0] - logits_BV.logsumexp(dim=-1)
        for column, (token, logprob) in enumerate(zip(tokens_B.tolist(), chosen_B.tolist(), strict=True)):
            if open_rows[column] and batch.add(alive[column], token, logprob):
                open_rows[column] = False
        num_open = sum(open_rows)
        if num_open == 0:
            return
        inputs = tokens_B[:, None]
        if num_open < _COMPACT_BELOW * len(alive):
            keep = [column for column, is_open in enumerate(open_rows) if is_open]
            columns = torch.tensor(keep, device=device)
            _choose(context, columns)
            inputs = inputs[columns]
            padding_B = None if padding_B is None else padding_B[columns]
            noise_BT = None if noise_BT is None else noise_BT[columns]
            alive = [alive[column] for column in keep]
            open_rows = [True] * len(alive)


def _next_logits(model: Model, inputs_BL: Tensor, mask: Tensor | None, context: StaticInferenceContext) -> Tensor:
    """float32 [B, V] of the last token, on every rank."""

    def run(chunk: nn.Module) -> Tensor:
        outputs: Tensor = chunk(inputs_BL, None, mask, inference_context=context, runtime_gather_output=True)
        return outputs[:, -1] if chunk.post_process else outputs

    num_rows, num_tokens = inputs_BL.shape
    hidden = (num_tokens, num_rows, model.spec.hidden_size)
    return pipeline.forward_only(model, run, hidden=hidden, answer=(num_rows, model.spec.vocab_size))


def sample(logits_BV: Tensor, uniforms_B: Tensor, *, temperature: float, top_p: float) -> Tensor:
    """One token a row by inverting its distribution at the row's uniform; [B]."""
    probabilities_BV = (logits_BV / temperature).softmax(dim=-1)
    if top_p >= 1:
        cumulative = probabilities_BV.double().cumsum(dim=-1)
        return _invert(cumulative, uniforms_B * cumulative[:, -1])
    vocab_size = probabilities_BV.shape[1]
    tokens_B = torch.empty(len(uniforms_B), dtype=torch.int64, device=uniforms_B.device)
    open_rows = torch.arange(len(uniforms_B), device=uniforms_B.device)
    for num_candidates in (*_CANDIDATES, vocab_size):
        found, is_covered = _sample_nucleus(
            probabilities_BV[open_rows], uniforms_B[open_rows], min(num_candidates, vocab_size), top_p
        )
        tokens_B[open_rows] = found
        open_rows = open_rows[~is_covered]
        if len(open_rows) == 0:
            break
    return tokens_B


def _sample_nucleus(probabilities_BV: Tensor, uniforms_B: Tensor, num: int, top_p: float) -> tuple[Tensor, Tensor]:
    """Samples from the fewest likeliest tokens whose mass reaches top_p; also whether these `num` reach it."""
    top_BK, tokens_BK = probabilities_BV.topk(num, dim=-1)
    cumulative_BK = top_BK.double().cumsum(dim=-1)
    is_covered_B = (cumulative_BK[:, -1] >= top_p) | (num == probabilities_BV.shape[1])
    last_B = (cumulative_BK < top_p).sum(dim=-1).clamp_(max=num - 1)
    mass_B = cumulative_BK.gather(1, last_B[:, None])[:, 0]
    place_B = torch.minimum(_invert(cumulative_BK, uniforms_B * mass_B), last_B)
    return tokens_BK.gather(1, place_B[:, None])[:, 0], is_covered_B


def _invert(cumulative_BK: Tensor, targets_B: Tensor) -> Tensor:
    """First place whose cumulative mass is above the target, so that a token of no mass is never taken."""
    return (cumulative_BK <= targets_B[:, None]).sum(dim=-1).clamp_(max=cumulative_BK.shape[1] - 1)


def _mask(padding_B: Tensor, num_queries: int, num_keys: int) -> Tensor:
    """[B, 1, L, M], added to the scores: keys before a row's first token, or after the query, are out of sight.

    A large number and not infinity, since the padding's own queries see nothing and must not become NaN.
    """
    keys_M = torch.arange(num_keys, device=padding_B.device)
    queries_L = keys_M[num_keys - num_queries :]
    hidden_BLM = (keys_M[None, None] < padding_B[:, None, None]) | (keys_M[None, None] > queries_L[None, :, None])
    return torch.zeros(hidden_BLM.shape, device=padding_B.device).masked_fill_(hidden_BLM, -1e30)[:, None]


def _choose(context: StaticInferenceContext, columns: Tensor) -> None:
    """The cache of these columns: fewer where rows are done, more where several rows have read one prompt."""
    caches = context.key_value_memory_dict
    for layer, (keys, values) in caches.items():
        caches[layer] = (keys[columns], values[columns])
    context.max_batch_size = len(columns)


def _refuse(
    model: Model,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    uniforms: Uniforms | None,
) -> None:
    refuse_model(model)
    if max_new_tokens < 1 or temperature < 0 or not 0 < top_p <= 1:
        raise ValueError(f"max_new_tokens {max_new_tokens}, temperature {temperature}, top_p {top_p} make no sense")
    if temperature > 0 and uniforms is None:
        raise ValueError(f"sampling at temperature {temperature} needs uniforms")
    for row, prompt in enumerate(prompts):
        if not 0 < len(prompt) < model.spec.seq_length:
            raise ValueError(
                f"prompt {row} has {len(prompt)} tokens; it needs one, and room for one in {model.spec.seq_length}"
            )


def refuse_model(model: Model) -> None:
    """ValueError where this model cannot write text one token at a time."""
    if model.head is not None:
        raise ValueError("a model with a regression head cannot generate")
    if model.layout.cp > 1:
        raise ValueError(f"generation does not run with context parallelism (cp={model.layout.cp})")
    if model.config.sequence_parallel:
        raise ValueError("generation does not run with sequence parallelism: one token cannot be split")

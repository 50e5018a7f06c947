"""generate: models answer prompts; finished answers stand in ledgers, so that a kill loses and repeats none."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress

from compiler.artifacts import Message, PromptRow, ResponseRow
from compiler.render import render
from compiler.stages.generate import Generate
from runtime.clients.open import open_model, recorded
from runtime.clients.request import Completion, Request
from runtime.context import Context, Facts
from runtime.randomness import uniforms
from runtime.rows import read_rows, write_rows
from runtime.shares import ShareDoneError


def run(stage: Generate, ctx: Context) -> Facts:
    """Asks every policy for its rows, one policy after the other, then puts the rows together in the prompts' order.

    Facts: rows, prompts, tokens, rows cut off by the length limit, rows rejected by reason.
    """
    if not ctx.gathers:
        for ref in dict.fromkeys(stage.policies):
            with open_model(ref, ctx) as model, suppress(ShareDoneError):
                total = sum(1 for _ in _asked_of(ref, stage, ctx))
                for _ in model.ask(_asked_of(ref, stage, ctx), ledger=_ledger(stage, ref), total=total):
                    pass
        if ctx.shard is not None:
            raise ShareDoneError
    told: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    if ctx.rank == 0:
        write_rows(ctx.output, _rows(stage, ctx, told, rejected))
    asked = told["rows"] + rejected.total()
    return {
        "rows": told["rows"],
        "prompts": asked // stage.samples,
        "tokens": told["tokens"],
        "cut_off": told["cut_off"],
        "rejected": dict(sorted(rejected.items())),
        "waterfall": [{"name": "asked", "rows": asked}, {"name": "generated", "rows": told["rows"]}],
    }


def _asked(stage: Generate, ctx: Context) -> Iterator[tuple[PromptRow, str, Request]]:
    """(prompt, who answers, what is asked), in order."""
    before = [render(template) for template in stage.templates()]
    for prompt in read_rows(ctx.input(stage.prompts), PromptRow):
        messages = _instructed(prompt.messages, before)
        for sample in range(stage.samples):
            key = f"{prompt.id}-{sample}"
            yield prompt, _drawn(stage, key), Request(key, messages, stage.sampling, stage.seed)


def _instructed(messages: tuple[Message, ...], before: Sequence[str]) -> tuple[Message, ...]:
    """With the instruction as the system's words, before those that the prompt brings."""
    if not before:
        return messages
    own = [message.content for message in messages if message.role == "system"]
    others = (message for message in messages if message.role != "system")
    return (Message(role="system", content="\n\n".join([*before, *own])), *others)


def _asked_of(ref: str, stage: Generate, ctx: Context) -> Iterator[Request]:
    return (request for _, by, request in _asked(stage, ctx) if by == ref)


def _drawn(stage: Generate, key: str) -> str:
    """Who answers this row: a function of the row alone."""
    if len(stage.policies) == 1:
        return stage.policies[0]
    return stage.policies[int(uniforms(1, stage.seed, "policy", key)[0] * len(stage.policies))]


def _ledger(stage: Generate, ref: str) -> str:
    return f"answers-{stage.policies.index(ref)}"


def _rows(stage: Generate, ctx: Context, told: Counter[str], rejected: Counter[str]) -> Iterator[ResponseRow]:
    found = {
        ref: recorded(ref, ctx).ask(_asked_of(ref, stage, ctx), ledger=_ledger(stage, ref))
        for ref in dict.fromkeys(stage.policies)
    }
    for prompt, ref, _ in _asked(stage, ctx):
        completion = next(found[ref])
        if completion.rejected:
            rejected[completion.rejected] += 1
            continue
        told.update(rows=1, tokens=completion.usage.completion_tokens, cut_off=int(not completion.finished))
        yield _row(prompt, completion, ctx.manifest.inputs[ref].fingerprint)


def _row(prompt: PromptRow, completion: Completion, by: str) -> ResponseRow:
    return ResponseRow(
        id=completion.key,
        prompt_id=prompt.id,
        family=prompt.family,
        messages=prompt.messages,
        response=completion.text,
        response_ids=completion.token_ids,
        finished=completion.finished,
        logprob=completion.logprob,
        by=by,
        check=prompt.check,
    )

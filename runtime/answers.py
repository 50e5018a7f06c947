"""Answers of a policy to many prompts; each stands in a ledger as soon as it is finished.

A batch is always computed whole, so that a resumed stage rounds as an undisturbed one and ends with the same bytes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compiler.schema.model import ModelSpec
from compiler.schema.sampling import Sampling
from runtime.context import Context
from runtime.engine.generate import generate
from runtime.engine.model import Model
from runtime.randomness import uniforms

_TELL_EVERY_ROWS = 512


@dataclass(frozen=True)
class Question:
    """One row to answer."""

    id: str
    """Names its randomness, together with the stage's seed."""
    token_ids: tuple[int, ...]


@dataclass(frozen=True)
class Answer:
    """What the policy said."""

    token_ids: tuple[int, ...]
    """With the end token, where it came."""
    logprob: float
    finished: bool


def answer(
    model: Model,
    questions: Sequence[Question],
    sampling: Sampling,
    *,
    end_id: int,
    seed: int,
    ctx: Context,
    ledger: str = "answers",
    tell: bool = True,
) -> Mapping[str, Answer]:
    """Answers by question id. Called on every rank; each rank keeps its own ledger in scratch.

    `tell` reports progress in rows. Prompts that leave no room for an answer in the model's sequence are refused
    (ValueError).
    """
    _refuse_too_long(questions, sampling, model.spec)
    file = _ledger(ctx, ledger, ctx.shard)
    found = dict(_read(file))
    total = len(questions) // ctx.share[1]
    completions = generate(
        model,
        [question.token_ids for question in questions],
        max_new_tokens=sampling.max_new_tokens,
        end_id=end_id,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        uniforms=lambda row: uniforms(sampling.max_new_tokens, seed, questions[row].id),
        batch_size=ctx.placement.rows_at_once,
        done={row for row, question in enumerate(questions) if question.id in found},
        share=ctx.share,
    )
    with file.open("ab", buffering=0) as lines:
        for completion in completions:
            end = (end_id,) if completion.finished else ()
            row = Answer((*completion.token_ids, *end), float(completion.logprob), completion.finished)
            name = questions[completion.index].id
            lines.write((json.dumps([name, row.token_ids, row.logprob, row.finished]) + "\n").encode())
            found[name] = row
            if tell and (len(found) % _TELL_EVERY_ROWS == 0 or len(found) == total):
                ctx.progress(done=len(found), total=total, unit="row")
    return found


def gathered(questions: Sequence[Question], ctx: Context, *, ledger: str = "answers") -> Mapping[str, Answer] | None:
    """The answers of all shards, if every question has one; None while a shard is at work."""
    shards = [None] if ctx.shard is None else range(ctx.placement.shards)
    found = {name: row for shard in shards for name, row in _read(_ledger(ctx, ledger, shard), mend=False)}
    return found if all(question.id in found for question in questions) else None


def _ledger(ctx: Context, name: str, shard: int | None) -> Path:
    return ctx.scratch / (f"{name}-{ctx.rank}.jsonl" if shard is None else f"{name}-{ctx.rank}.shard-{shard}.jsonl")


def _read(file: Path, *, mend: bool = True) -> Iterator[tuple[str, Answer]]:
    """Every finished row. A last line that a kill cut short is taken off the file, and its row is done again; somebody
    else's file is not mended."""
    if not file.exists():
        return
    whole = file.read_bytes()
    end = whole.rfind(b"\n") + 1
    if mend and end != len(whole):
        with file.open("r+b") as lines:
            lines.truncate(end)
    for line in whole[:end].splitlines():
        name, token_ids, logprob, finished = json.loads(line)
        yield name, Answer(tuple(token_ids), logprob, finished)


def _refuse_too_long(questions: Sequence[Question], sampling: Sampling, spec: ModelSpec) -> None:
    longest = max((len(question.token_ids) for question in questions), default=0)
    if longest + sampling.max_new_tokens > spec.seq_length:
        raise ValueError(
            f"the longest prompt has {longest} tokens; with {sampling.max_new_tokens} new ones it exceeds the model's "
            f"seq_length of {spec.seq_length}"
        )

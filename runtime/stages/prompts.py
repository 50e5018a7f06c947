"""prompts: make prompts with a generator, keeping only those that belong to the named parts of a split."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from math import ceil
from pathlib import Path
from typing import Any

from compiler.artifacts import DocumentRow, PromptRow, TopicRow
from compiler.schema.generators import (
    ClosedQA,
    Coding,
    FewShot,
    InstructionFollowing,
    Math,
    OpenQA,
    SelfPrompted,
    Tasks,
    TwoTurn,
    Writing,
)
from compiler.schema.sampling import Sampling
from compiler.stages.prompts import Prompts
from runtime.asking import Asker
from runtime.clients.request import Request
from runtime.context import Context, Facts
from runtime.generators import few_shot, instruction_following, self_prompted
from runtime.generators.self_prompted import Collected, Sample
from runtime.generators.tasks import draw_prompts
from runtime.rows import Row, read_rows, write_rows
from runtime.written import DUPLICATE, HELD_OUT, collect

_BATCH = 512
_TRIES = 20
"""So many times as many examples are shown as would be enough if every answer were good."""


def run(stage: Prompts, ctx: Context) -> Facts:
    """Draws or samples the prompts; facts: rows by family, and what was rejected for which reason."""
    unknown = sorted(set(stage.parts) - set(stage.split.shares))
    if unknown:
        raise ValueError(f"the split has no part {', '.join(unknown)}; it has {', '.join(sorted(stage.split.shares))}")
    if isinstance(stage.generator, Tasks):
        return _draw(stage, stage.generator, ctx)
    if isinstance(stage.generator, SelfPrompted):
        return _self_prompt(stage, stage.generator, ctx)
    return _written(stage, ctx)


def _draw(stage: Prompts, generator: Tasks, ctx: Context) -> Facts:
    rows = draw_prompts(generator, count=stage.count, split=stage.split, parts=stage.parts, seed=stage.seed)
    write_rows(ctx.output, rows)
    return _facts(rows)


def _written(stage: Prompts, ctx: Context) -> Facts:
    """What a generator writes source by source, with a model or without."""
    generator = stage.generator
    write = import_module(f"runtime.generators.{generator.kind}").write
    sources, each = _sources(stage, ctx)
    with _asker(stage, ctx) as asker:
        kept = collect(
            sources,
            lambda wave, number: write(generator, wave, asker, f"wave-{number}"),
            each=each,
            count=stage.count,
            split=stage.split,
            parts=stage.parts,
        )
    rows = list(kept.rows.values())
    if not rows:
        raise ValueError(f"none of {kept.asked} prompts that were asked for is wanted: {dict(kept.rejected)}")
    if ctx.rank == 0:
        write_rows(ctx.output, rows)
    asked = Counter(one["type"] for row in rows if row.check for one in row.check.get("instructions", ()))
    by_instruction = {"rows_by_instruction": dict(sorted(asked.items()))} if asked else {}
    return {**_facts(rows), **by_instruction, **kept.facts()}


@contextmanager
def _asker(stage: Prompts, ctx: Context) -> Iterator[Asker | None]:
    model, sampling = getattr(stage.generator, "model", None), getattr(stage.generator, "sampling", None)
    if model is None or sampling is None:
        yield None
        return
    # Here, because drawing tasks must not wait for numpy.
    from runtime.clients.open import open_model

    with open_model(model, ctx) as opened:
        yield Asker(opened, sampling, stage.seed)


def _sources(stage: Prompts, ctx: Context) -> tuple[Iterator[Any], int]:
    """What prompts are written about, in the order in which it is taken; and how many one of them gives at most."""
    match stage.generator:
        case OpenQA() | Writing() as generator:
            each = generator.per_topic * max(1, len(generator.refinements))
            return _shuffled(ctx.input(generator.topics), TopicRow, stage.seed), each
        case Math() | Coding() as generator:
            each = generator.per_keyword * len(generator.levels)
            return _shuffled(ctx.input(generator.keywords), TopicRow, stage.seed), each
        case ClosedQA() as generator:
            return read_rows(ctx.input(generator.documents), DocumentRow), generator.per_document
        case TwoTurn() as generator:
            return _shuffled(ctx.input(generator.prompts), PromptRow, stage.seed), 1
        case FewShot() as generator:
            examples = list(read_rows(ctx.input(generator.examples), PromptRow))
            most = _TRIES * ceil(stage.count / generator.shots)
            return few_shot.drawn(generator, examples, stage.seed, most), generator.shots
        case InstructionFollowing() as generator:
            prompts = list(read_rows(ctx.input(generator.prompts), PromptRow))
            return instruction_following.drafts(generator, prompts, stage.seed), 1
        case _:
            raise AssertionError(f"{stage.generator.kind} is not written source by source")


def _shuffled(folder: Path, row_type: type[Row], seed: int) -> Iterator[Row]:
    rows = list(read_rows(folder, row_type))
    random.Random(f"{seed}/sources").shuffle(rows)
    return iter(rows)


def _self_prompt(stage: Prompts, generator: SelfPrompted, ctx: Context) -> Facts:
    with _sampler(stage, generator, ctx) as sample:
        collected = self_prompted.collect(
            generator, count=stage.count, split=stage.split, parts=stage.parts, sample=sample, batch=_BATCH
        )
    if not collected.rows:
        raise ValueError(
            f"none of {collected.attempts} turns that the policy wrote is a wanted prompt: {collected.rejected}"
        )
    if ctx.rank == 0:
        write_rows(ctx.output, collected.rows)
    return {**_facts(collected.rows), **_waterfall(collected)}


@contextmanager
def _sampler(stage: Prompts, generator: SelfPrompted, ctx: Context) -> Iterator[Sample]:
    """Asks the policy for user turns. The engine is imported here: drawing tasks must not wait for torch."""
    from runtime.clients.policy import open_in_process

    with open_in_process(generator.policy, ctx) as policy:
        room = policy.model.spec.seq_length - len(policy.tokenizer.encode_prompt((), "user"))
        sampling = Sampling(temperature=generator.temperature, top_p=1.0, max_new_tokens=room)

        def sample(count: int, first: int) -> list[str]:
            # A turn's randomness is named by its index; the ledger outlives a kill.
            requests = [
                Request(f"turn-{index}", (), sampling, stage.seed, speaker="user")
                for index in range(first, first + count)
            ]
            turns = [completion.text for completion in policy.ask(requests, ledger=f"turns-{first}", tell=False)]
            ctx.progress(done=first + count, total=generator.max_attempts, unit="attempt")
            return turns

        yield sample


def _facts(rows: Sequence[PromptRow]) -> Facts:
    return {"rows": len(rows), "rows_by_family": dict(sorted(Counter(row.family for row in rows).items()))}


def _waterfall(collected: Collected) -> Facts:
    rows = collected.attempts
    waterfall = [{"name": "sampled", "rows": rows}]
    for name, reason in (
        ("well-formed tasks", self_prompted.MALFORMED),
        ("of a wanted family", self_prompted.UNWANTED_FAMILY),
        ("of a wanted part", HELD_OUT),
        ("distinct", DUPLICATE),
        ("kept", self_prompted.FAMILY_FULL),
    ):
        rows -= collected.rejected.get(reason, 0)
        waterfall.append({"name": name, "rows": rows})
    return {"attempts": collected.attempts, "rejected": dict(collected.rejected), "waterfall": waterfall}

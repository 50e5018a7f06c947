"""prompts: make prompts with a generator, keeping only those that belong to the named parts of a split."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from compiler.artifacts import PromptRow
from compiler.schema.generators import InstructionFollowing, SelfPrompted, Tasks
from compiler.schema.sampling import Sampling
from compiler.stages.prompts import Prompts
from runtime.clients.request import Request
from runtime.context import Context, Facts
from runtime.generators import instruction_following, self_prompted
from runtime.generators.self_prompted import DUPLICATE, HELD_OUT, Collected, Sample
from runtime.generators.tasks import draw_prompts
from runtime.rows import read_rows, write_rows
from runtime.splits import part_of, prompt_text

_BATCH = 512


def run(stage: Prompts, ctx: Context) -> Facts:
    """Draws or samples the prompts; facts: rows by family, and what was rejected for which reason."""
    unknown = sorted(set(stage.parts) - set(stage.split.shares))
    if unknown:
        raise ValueError(f"the split has no part {', '.join(unknown)}; it has {', '.join(sorted(stage.split.shares))}")
    if isinstance(stage.generator, Tasks):
        return _draw(stage, stage.generator, ctx)
    if isinstance(stage.generator, SelfPrompted):
        return _self_prompt(stage, stage.generator, ctx)
    if isinstance(stage.generator, InstructionFollowing) and stage.generator.form == "single_turn":
        return _instruct(stage, stage.generator, ctx)
    raise NotImplementedError(f"prompts of a generator of kind {stage.generator.kind}")


def _draw(stage: Prompts, generator: Tasks, ctx: Context) -> Facts:
    rows = draw_prompts(generator, count=stage.count, split=stage.split, parts=stage.parts, seed=stage.seed)
    write_rows(ctx.output, rows)
    return _facts(rows)


def _instruct(stage: Prompts, generator: InstructionFollowing, ctx: Context) -> Facts:
    prompts = list(read_rows(ctx.input(generator.prompts), PromptRow))
    rows: dict[str, PromptRow] = {}
    rejected: Counter[str] = Counter()
    drafted = 0
    for draft in instruction_following.drafts(generator, prompts, stage.seed):
        if len(rows) == stage.count:
            break
        drafted += 1
        row = instruction_following.finish(draft, None)
        if part_of(stage.split, prompt_text(row.messages)) not in stage.parts:
            rejected[HELD_OUT] += 1
        elif row.id in rows:
            rejected[DUPLICATE] += 1
        else:
            rows[row.id] = row
    if not rows:
        raise ValueError(f"none of {drafted} instructions made a wanted prompt: {dict(rejected)}")
    write_rows(ctx.output, rows.values())
    return {
        **_facts(list(rows.values())),
        "rows_by_instruction": _by_instruction(rows.values()),
        "rejected": dict(sorted(rejected.items())),
        "waterfall": [
            {"name": "instructed", "rows": drafted},
            {"name": "of a wanted part", "rows": drafted - rejected[HELD_OUT]},
            {"name": "distinct", "rows": len(rows)},
        ],
    }


def _by_instruction(rows: Iterable[PromptRow]) -> dict[str, int]:
    asked = Counter(one["type"] for row in rows if row.check for one in row.check["instructions"])
    return dict(sorted(asked.items()))


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
        ("of a wanted part", self_prompted.HELD_OUT),
        ("distinct", self_prompted.DUPLICATE),
        ("kept", self_prompted.FAMILY_FULL),
    ):
        rows -= collected.rejected.get(reason, 0)
        waterfall.append({"name": name, "rows": rows})
    return {"attempts": collected.attempts, "rejected": dict(collected.rejected), "waterfall": waterfall}

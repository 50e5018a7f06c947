"""filter: keep the good responses as dialogues to learn from."""

from collections import Counter
from collections.abc import Iterable

from compiler.artifacts import DialogueRow, Message, ResponseRow
from compiler.stages.filter import Filter
from runtime.context import Context, Facts
from runtime.judged import Judged, read_judged, sample_index
from runtime.rows import messages_id, write_rows

UNFINISHED, DUPLICATE, OVER_PER_PROMPT = "unfinished", "duplicate", "more than per_prompt"


def run(stage: Filter, ctx: Context) -> Facts:
    """What a policy learns from must have ended, must reach every threshold, and counts once."""
    prompts = read_judged(ctx.input(stage.responses), {name: ctx.input(ref) for name, ref in stage.scores.items()})
    kept: list[DialogueRow] = []
    rejected: Counter[str] = Counter()
    for judged in prompts:
        good: dict[str, Judged] = {}
        for one in sorted(judged, key=_best_first):
            reason = _why_not(stage, one) or (DUPLICATE if one.row.response in good else "")
            if reason:
                rejected[reason] += 1
            else:
                good[one.row.response] = one
        rejected[OVER_PER_PROMPT] += max(0, len(good) - stage.per_prompt)
        kept += [_dialogue(one.row) for one in list(good.values())[: stage.per_prompt]]
    write_rows(ctx.output, kept)
    return _facts(kept, prompts, rejected)


def _best_first(judged: Judged) -> tuple[float, int]:
    total = sum(score for _, score in sorted(judged.scores.items()) if score is not None)
    return (-total, sample_index(judged.row))


def _why_not(stage: Filter, judged: Judged) -> str:
    if not judged.row.finished:
        return UNFINISHED
    for name, threshold in sorted(stage.at_least.items()):
        score = judged.scores[name]
        if score is not None and score < threshold:
            return f"{name} below {threshold:g}"
    return ""


def _dialogue(row: ResponseRow) -> DialogueRow:
    messages = (*row.messages, Message(role="assistant", content=row.response))
    return DialogueRow(
        id=messages_id(messages),
        prompt_id=row.prompt_id,
        family=row.family,
        messages=messages,
        origin="model",
        answer_ids=row.response_ids,
        made_from=(row.id,),
    )


def _facts(kept: list[DialogueRow], prompts: Iterable[tuple[Judged, ...]], rejected: Counter[str]) -> Facts:
    judged = [one for group in prompts for one in group]
    thresholds = sum(count for reason, count in rejected.items() if " below " in reason)
    rows = len(judged)
    waterfall = [{"name": "responses", "rows": rows}]
    for name, lost in (
        ("finished", rejected[UNFINISHED]),
        ("above the thresholds", thresholds),
        ("distinct", rejected[DUPLICATE]),
        ("kept", rejected[OVER_PER_PROMPT]),
    ):
        rows -= lost
        waterfall.append({"name": name, "rows": rows})
    return {
        "rows": len(kept),
        "rows_by_family": dict(sorted(Counter(row.family for row in kept).items())),
        "responses_by_family": dict(sorted(Counter(one.row.family for one in judged).items())),
        "prompts": len(list(prompts)),
        "prompts_with_rows": len({row.prompt_id for row in kept}),
        "rejected": {reason: count for reason, count in sorted(rejected.items()) if count},
        "waterfall": waterfall,
    }

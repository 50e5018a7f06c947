"""examine: a judge against pairs whose better answer is known, family by family."""

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from statistics import fmean
from typing import Any, Literal

from compiler.artifacts import PreferenceRow, ResponseRow
from compiler.schema.judges import RewardModelJudge
from compiler.stages.examine import Examine
from runtime.context import Context, Facts
from runtime.intervals import wilson
from runtime.judged import Opinion
from runtime.rows import FILE, read_rows

SUMMARY = "summary.json"

Verdict = Literal["right", "wrong", "tie", "silent"]


def run(stage: Examine, ctx: Context) -> Facts:
    """Writes `rows.jsonl` (a line for each pair) and `summary.json`; facts: the summary, and what the judge tells of
    its own judging."""
    pairs = list(read_rows(ctx.input(stage.preferences), PreferenceRow))
    spec = stage.judge.model_copy(update={"gate": 0.0}) if isinstance(stage.judge, RewardModelJudge) else stage.judge
    answers = [answer for number, pair in enumerate(pairs) for answer in _answers(number, pair)]
    opinion: Opinion = import_module(f"runtime.judges.{spec.kind}").judge(spec, answers, ctx)
    scores = [one.score for one in opinion.scores]
    rows = [
        {
            "id": pair.id,
            "family": pair.family,
            "chosen": chosen,
            "rejected": rejected,
            "verdict": verdict(chosen, rejected),
            "chosen_is_longer": len(pair.chosen) > len(pair.rejected),
        }
        for pair, chosen, rejected in zip(pairs, scores[0::2], scores[1::2], strict=True)
    ]
    summary = summarise(rows)
    if ctx.rank == 0:
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (ctx.output / FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
        (ctx.output / SUMMARY).write_text(json.dumps(summary, indent=1), encoding="utf-8")
    return {"judge": spec.kind, **summary, **opinion.facts}


def verdict(chosen: float | None, rejected: float | None) -> Verdict:
    """What these scores say of a pair."""
    if chosen is None or rejected is None:
        return "silent"
    return "right" if chosen > rejected else "wrong" if chosen < rejected else "tie"


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Over all pairs and by family; `mean_of_families` counts each family the same, as RewardBench's score does."""
    families = {
        family: _numbers([row for row in rows if row["family"] == family])
        for family in sorted({row["family"] for row in rows})
    }
    credits = [numbers["credited"] for numbers in families.values()]
    return {**_numbers(rows), "families": families, "mean_of_families": fmean(credits) if credits else None}


def _numbers(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`accuracy` is of the pairs that the judge decided, with its 95 % interval; `credited` is of all, half a point for
    each that it did not; `for_the_longer` is the share of decisions for the longer answer."""
    counts = {name: sum(row["verdict"] == name for row in rows) for name in ("right", "wrong", "tie", "silent")}
    decided = counts["right"] + counts["wrong"]
    low, accuracy, high = wilson(counts["right"], decided) if decided else (None, None, None)
    longer = sum(
        (row["verdict"] == "right") == row["chosen_is_longer"] for row in rows if row["verdict"] in ("right", "wrong")
    )
    return {
        "pairs": len(rows),
        **counts,
        "accuracy": accuracy,
        "low": low,
        "high": high,
        "credited": (counts["right"] + (counts["tie"] + counts["silent"]) / 2) / len(rows) if rows else None,
        "for_the_longer": longer / decided if decided else None,
    }


def _answers(number: int, pair: PreferenceRow) -> tuple[ResponseRow, ResponseRow]:
    """Chosen and rejected as answers to a prompt of the pair's own: several pairs may have one prompt in common."""
    chosen, rejected = (
        ResponseRow(
            id=f"pair-{number}-{place}",
            prompt_id=f"pair-{number}",
            family=pair.family,
            messages=pair.messages,
            response=text,
            response_ids=ids,
            finished=True,
            logprob=None,
        )
        for place, (text, ids) in enumerate(((pair.chosen, pair.chosen_ids), (pair.rejected, pair.rejected_ids)))
    )
    return chosen, rejected

"""Training curves out of `curve.jsonl`, thinned to what a small chart can show."""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from math import isfinite
from statistics import fmean
from typing import Any

from runtime.report.lineage import Lineage, Made, read_lines

TRAINING = ("pretrain", "sft", "reward_model", "prefer")
MOST_POINTS = 200
_FILE = "curve.jsonl"
_SHIFTS = ("chosen_shift", "rejected_shift")
_STEP_FIELDS = {"step", "loss", "learning_rate", "grad_norm", "tokens", "flops"}


def curves(lineage: Lineage) -> list[dict[str, Any]]:
    """One entry for each training stage, with a line for each point of a sweep."""
    by_stage: dict[str, list[Made]] = {}
    for one in lineage.of(*TRAINING):
        by_stage.setdefault(one.stage_name, []).append(one)
    return [
        {
            "stage": name,
            "kind": runs[0].kind,
            "loss": runs[0].record.stage.get("loss", {}).get("kind"),
            "phases": _phases(runs[0]),
            "lines": [_line(one) for one in runs],
        }
        for name, runs in by_stage.items()
    ]


def thin(values: Sequence[float], most: int = MOST_POINTS) -> list[dict[str, float]]:
    """At most `most` points: mean, least and greatest of stretches of equal length (one step shorter or longer).

    What is not finite (a loss that diverged) is left out.
    """
    count = min(most, len(values))
    ends = [len(values) * number // count for number in range(count + 1)] if count else []
    points = []
    for first, end in pairwise(ends):
        part = [value for value in values[first:end] if isfinite(value)]
        if part:
            points.append({"step": (first + end - 1) / 2, "mean": fmean(part), "low": min(part), "high": max(part)})
    return points


def _line(one: Made) -> dict[str, Any]:
    steps = read_lines(one.folder, _FILE)
    losses = [step["loss"] for step in steps]
    return {
        "point": one.point,
        "label": one.label,
        "fingerprint": one.fingerprint,
        "steps": len(steps),
        "tokens": sum(step["tokens"] for step in steps),
        "first_loss": _number(losses[0]),
        "last_loss": _number(losses[-1]),
        "steps_without_finite_loss": sum(not isfinite(loss) for loss in losses),
        "peak_learning_rate": max(step["learning_rate"] for step in steps),
        "greatest_grad_norm": max((step["grad_norm"] for step in steps if isfinite(step["grad_norm"])), default=None),
        "last_metrics": {name: _number(value) for name, value in steps[-1].items() if name not in _STEP_FIELDS},
        "loss": thin(losses),
        "shifts": {name: thin([step[name] for step in steps]) for name in _SHIFTS if name in steps[-1]},
    }


def _number(value: float) -> float | None:
    """JSON has no word for infinity, nor for what is no number."""
    return value if isfinite(value) else None


def _phases(one: Made) -> list[dict[str, Any]]:
    """Name of each phase and the step at which it begins."""
    phases: Sequence[Mapping[str, Any]] = one.facts.get("phases", ())
    starts = accumulate((int(phase["steps"]) for phase in phases), initial=0)
    return [{"name": phase["name"], "first_step": first} for phase, first in zip(phases, starts, strict=False)]

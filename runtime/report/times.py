"""Time, memory and work of every stage upstream: what was planned, what it took."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from runtime.report.lineage import Lineage, Made

_MEASURED = ("wall_s", "start_up_s", "cpu_s", "peak_rss_bytes", "peak_gpu_bytes", "attempts", "world_size")
_TOLD = ("rows", "steps", "tokens", "flops")
"""That a plan counts, and that a stage may tell of what it did."""


def stages(lineage: Lineage) -> list[dict[str, Any]]:
    """Every stage upstream of the report, in an order in which they could have run."""
    return [_stage(one, lineage) for one in lineage.made]


def totals(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums over the stages; planned against measured over those that have both."""
    both = [one for one in found if one["planned_s"] is not None and one["wall_s"] is not None]
    return {
        "stages": len(found),
        **{name: _sum(found, name) for name in ("wall_s", "start_up_s", "cpu_s")},
        "peak_rss_bytes": max((one["peak_rss_bytes"] or 0 for one in found), default=0),
        "interrupted": sum((one["attempts"] or 1) > 1 for one in found),
        "compared": {
            "stages": len(both),
            **{name: _sum(both, name) for name in ("planned_s", "planned_by_speed_s", "wall_s")},
        },
    }


def by_kind(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same sums for each stage kind, the longest first."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for one in found:
        kinds.setdefault(one["kind"], []).append(one)
    sums = [{"kind": kind, **totals(ones)} for kind, ones in kinds.items()]
    return sorted(sums, key=lambda one: (-one["wall_s"], one["kind"]))


def runs(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What each run made, on its own clock (seconds from its first stage's start); the run with the most first."""
    by_run: dict[str, list[Mapping[str, Any]]] = {}
    for one in found:
        if one["sealed"] is not None and one["wall_s"] is not None:
            by_run.setdefault(one["run"] or "", []).append(one)
    return sorted((_run(name, ones) for name, ones in by_run.items()), key=lambda run: (-len(run["bars"]), run["run"]))


def _stage(one: Made, lineage: Lineage) -> dict[str, Any]:
    record = one.record
    return {
        "label": one.label,
        "kind": one.kind,
        "fingerprint": one.fingerprint,
        "needs": list(_labels_of_inputs(one, lineage)),
        "bytes": record.bytes,
        "planned_s": record.planned.get("wall_s"),
        "planned_by_speed_s": record.planned.get("speed_wall_s"),
        "planned_basis": record.planned.get("basis"),
        "planned_gpu_bytes": record.planned.get("memory_bytes_per_gpu"),
        "parameters": record.planned.get("parameters"),
        "planned_work": {name: record.planned.get(name) or None for name in _TOLD},
        "work": {name: record.facts.get(name) for name in _TOLD},
        **{name: record.measured.get(name) for name in _MEASURED},
        "run": record.provenance.get("run"),
        "rung": record.provenance.get("rung"),
        "sealed": record.provenance.get("sealed"),
    }


def _labels_of_inputs(one: Made, lineage: Lineage) -> Iterator[str]:
    for source in one.record.inputs.values():
        made = lineage.by_fingerprint.get(source.fingerprint)
        yield made.label if made else source.stage


def _sum(found: Sequence[Mapping[str, Any]], name: str) -> float:
    return round(sum(one[name] or 0.0 for one in found), 3)


def _run(name: str, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    ends = [datetime.fromisoformat(one["sealed"]).timestamp() for one in found]
    starts = [end - one["wall_s"] for end, one in zip(ends, found, strict=True)]
    first = min(starts)
    bars = [
        {**{name: one[name] for name in ("label", "kind", "wall_s", "planned_s")}, "start_s": round(start - first, 3)}
        for start, one in zip(starts, found, strict=True)
    ]
    return {
        "run": name,
        "elapsed_s": round(max(ends) - first, 3),
        "wall_s": _sum(found, "wall_s"),
        "bars": sorted(bars, key=lambda bar: (bar["start_s"], bar["label"])),
    }

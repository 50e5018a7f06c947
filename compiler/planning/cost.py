"""Seconds of a stage on cores: its work over measured speeds, corrected by what its relatives in the store took."""

from statistics import median
from typing import NamedTuple

from compiler.planning.inventory import Inventory
from compiler.planning.workload import Work, model_label
from compiler.schema.cluster import CpuSpeed
from compiler.stages import Stage


class Cost(NamedTuple):
    """Planned seconds and what they rest on."""

    wall_s: float
    speed_wall_s: float
    """By the cluster's speeds alone, before correction by earlier stages."""
    basis: str
    """`cluster` or `3 earlier stages of this kind`."""


def cost_of(stage: Stage, work: Work, ranks: int, speed: CpuSpeed, corrections: dict[str, tuple[float, int]]) -> Cost:
    """Wall seconds of the stage on so many single-threaded ranks."""
    estimate = _by_speed(stage, work, ranks, speed)
    kind = str(getattr(stage, "kind", ""))
    if kind in corrections:
        factor, count = corrections[kind]
        return Cost(estimate * factor, estimate, f"{count} earlier {'stages' if count > 1 else 'stage'} of this kind")
    return Cost(estimate, estimate, "cluster")


def corrections(inventory: Inventory) -> dict[str, tuple[float, int]]:
    """Stage kind -> (median of measured over speed-based seconds, how many stages it rests on)."""
    ratios: dict[str, list[float]] = {}
    for record in inventory.records.values():
        planned, measured = record.planned.get("speed_wall_s"), record.measured.get("wall_s")
        if planned and measured and record.measured.get("attempts") == 1:
            ratios.setdefault(record.kind, []).append(measured / planned)
    return {kind: (median(values), len(values)) for kind, values in ratios.items()}


def _by_speed(stage: Stage, work: Work, ranks: int, speed: CpuSpeed) -> float:
    if not model_label("itself", stage):
        return speed.start_up_s + work.rows / speed.rows_per_s
    flops = speed.training_flops if work.trains else speed.generation_flops
    return speed.engine_start_up_s + work.flops / (flops * ranks) + work.rows / speed.rows_per_s * (not work.trains)

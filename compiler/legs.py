"""Legs of a stage: steps in a row that the same ranks make. Training has several where `dp_at_batch` says so.

Which leg a stage is at is told by the newest of the checkpoints that it keeps, and by nothing else.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

from compiler.manifest import Manifest, Placement
from compiler.schema.base import Record
from compiler.stages import Stage
from compiler.stages.pretrain import Pretrain

_CHECKPOINT = re.compile(r"step-(\d{9})")


class Leg(Record):
    """Steps in a row that the same ranks make."""

    ranks: int
    end: int | None = None
    """Steps of the stage that are done when it is over; None of the last leg, which ends with the stage."""


def legs_of(stage: Stage, placement: Placement) -> tuple[Leg, ...]:
    """In the order of their steps; neighbours have different ranks. One of a stage that trains nothing."""
    found: list[Leg] = []
    done = 0
    for batch, steps in stage.batches() if isinstance(stage, Pretrain) else ((_batch(stage), 0),):
        done += steps
        ranks = placement.ranks_at(batch)
        if found and found[-1].ranks == ranks:
            found.pop()
        found.append(Leg(ranks=ranks, end=done))
    return (*found[:-1], Leg(ranks=found[-1].ranks))


def _batch(stage: Stage) -> int:
    return int(getattr(stage, "global_batch_size", 0))


def leg_at(legs: Sequence[Leg], step: int) -> int:
    """Number of the leg that makes this step, both from 0 on."""
    return bisect_right([leg.end for leg in legs if leg.end is not None], step)


def leg_of(manifest: Manifest) -> Leg:
    """The one that the stage is at now."""
    legs = legs_of(manifest.stage, manifest.placement)
    return legs[leg_at(legs, steps_done(Path(manifest.scratch)))]


def checkpoint_folder(scratch: Path) -> Path:
    """Where a stage in training keeps its checkpoints."""
    return scratch / "checkpoints"


def checkpoint_name(num_done: int) -> str:
    """Of the checkpoint after so many steps."""
    return f"step-{num_done:09d}"


def steps_in(checkpoint: Path) -> int:
    """Steps that were done when it was written."""
    return int(checkpoint.name.removeprefix("step-"))


def complete_checkpoints(folder: Path) -> list[Path]:
    """In the order of their steps: one under its final name is complete."""
    return sorted(path for path in folder.iterdir() if _CHECKPOINT.fullmatch(path.name)) if folder.is_dir() else []


def steps_done(scratch: Path) -> int:
    """Where the stage goes on if it is started now."""
    kept = complete_checkpoints(checkpoint_folder(scratch))
    return steps_in(kept[-1]) if kept else 0

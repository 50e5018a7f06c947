"""How a job of a stage in legs ends before the stage does: the worker catches it, and others go on with other ranks."""

from pathlib import Path

from compiler.journal import append_event
from compiler.legs import leg_at, legs_of, steps_done
from compiler.manifest import Manifest


class LegDoneError(Exception):
    """All steps of this leg are made, and a checkpoint is left for the ranks of the next one."""


class TooEarlyError(RuntimeError):
    """The steps that this job has the ranks for come later: those before them are still to be made, by others."""


def is_its_turn(manifest: Manifest, ranks: int, attempt: str) -> bool:
    """Whether so many ranks are to go on with the stage now; if not, tells its journal who is.

    Raises TooEarlyError where theirs comes later, and ValueError where none of the stage's legs is theirs.
    """
    legs = legs_of(manifest.stage, manifest.placement)
    step = steps_done(Path(manifest.scratch))
    now = leg_at(legs, step)
    if legs[now].ranks == ranks:
        return True
    numbers = sorted({leg.ranks for leg in legs})
    if ranks not in numbers:
        wanted = " or ".join(map(str, numbers))
        raise ValueError(f"{manifest.label} is for {wanted} ranks, and this job has {ranks}")
    hand_over(manifest, attempt)
    if any(leg.ranks == ranks for leg in legs[now:]):
        raise TooEarlyError(f"step {step} is for a number of ranks of {legs[now].ranks}, and this job has {ranks}")
    return False


def hand_over(manifest: Manifest, attempt: str) -> None:
    """Tells the stage's journal that this attempt is over, and with how many ranks the stage goes on."""
    legs = legs_of(manifest.stage, manifest.placement)
    step = steps_done(Path(manifest.scratch))
    ranks = legs[leg_at(legs, step)].ranks
    append_event(Path(manifest.journal), "handed_over", attempt=attempt, step=step, ranks=ranks)

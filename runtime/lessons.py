"""What a reward model learns from, whatever kind of data it is: rows by number, a loss, what is held out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.engine.batch import Batch
from runtime.engine.model import Model
from runtime.engine.objective import Objective
from runtime.randomness import uniforms


@dataclass(frozen=True)
class Lessons:
    """Rows to train on, and how well a model does on the others."""

    num_rows: int
    """To train on."""
    num_held_out: int
    group: int
    """Rows that stay together; the numbers that `collate` is given are of groups."""
    collate: Callable[[Sequence[int]], Batch]
    objective: Objective
    calibrate: Callable[[Model], Mapping[str, Any]]
    """What `calibration.json` says of a model: `mse`, and the held-out `pairs` as `runtime/rewards.py` reads them."""


def held_out_prompts(prompts: Iterable[str], share: float) -> frozenset[str]:
    """A share of these prompts, by a hash of their ids: the same whatever else is learnt from."""
    return frozenset(prompt for prompt in set(prompts) if uniforms(1, "held out", prompt)[0] < share)

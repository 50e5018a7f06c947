"""The checkpoints of a run in training: when there is one, which of them stay, and one that may be on its way."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch.distributed as dist

from compiler.legs import checkpoint_name, complete_checkpoints, steps_in
from compiler.manifest import Placement
from runtime.engine.checkpoint import begin_saving_training, save_training
from runtime.engine.optimizer import Trainable
from runtime.engine.writing import Writing


@dataclass(frozen=True)
class Checkpointing:
    """Where and how often training state is kept, so that a killed run can go on."""

    folder: Path
    every: int
    """steps; 0 never saves"""
    last: int = 1
    """So many of the newest stay."""
    milestones: int = 0
    """steps; those after multiples of it stay too, unless it is 0"""
    background: bool = False
    """Files are written while training goes on."""

    @classmethod
    def of(cls, placement: Placement, folder: Path) -> "Checkpointing":
        """What a stage's placement says."""
        return cls(
            folder,
            every=placement.checkpoint_every_steps,
            last=placement.checkpoints_kept,
            milestones=placement.checkpoint_milestones,
            background=placement.checkpoint_in_background,
        )


class Checkpoints:
    """The folder, changed on disk. All methods are called on every rank, at the same steps."""

    def __init__(self, asked: Checkpointing | None) -> None:
        self._asked = asked
        self._on_its_way: Writing | None = None

    def newest(self) -> Path | None:
        """The last complete one; one that is on its way is waited for, so that this never depends on a disk's speed."""
        self.settle()
        kept = complete_checkpoints(self._asked.folder) if self._asked else []
        return kept[-1] if kept else None

    def after(self, state: Trainable, *, num_done: int) -> bool:
        """Keeps the state if it is due after so many steps; returns whether it was. There is one on its way at most."""
        asked = self._asked
        due = self._due(num_done)
        if self._on_its_way is not None and (due or self._on_its_way.is_written()):
            self.settle()
        if asked is None or not due:
            return False
        target = asked.folder / checkpoint_name(num_done)
        if asked.background:
            self._on_its_way = begin_saving_training(state, target, step=num_done)
        else:
            save_training(state, target, step=num_done)
            self._thin_out()
        return True

    def leave(self, state: Trainable, *, num_done: int) -> None:
        """Keeps the state after so many steps, due or not: others go on from it. `after` was called before.

        Raises ValueError where no checkpoints are kept.
        """
        self.settle()
        if self._asked is None:
            raise ValueError("other ranks go on from a checkpoint, and none is kept")
        if not self._due(num_done):
            save_training(state, self._asked.folder / checkpoint_name(num_done), step=num_done)
            self._thin_out()

    def settle(self) -> None:
        """Nothing is on its way any more."""
        if self._on_its_way is not None:
            self._on_its_way.finish()
            self._on_its_way = None
            self._thin_out()

    def _due(self, num_done: int) -> bool:
        return self._asked is not None and self._asked.every > 0 and num_done % self._asked.every == 0

    def _thin_out(self) -> None:
        assert self._asked is not None
        if dist.get_rank() == 0:
            for path in complete_checkpoints(self._asked.folder)[: -self._asked.last]:
                if not (self._asked.milestones and steps_in(path) % self._asked.milestones == 0):
                    shutil.rmtree(path)

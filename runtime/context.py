"""What a stage's `run` is given: its inputs, its output folder, its scratch, its journal."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.journal import append_event
from compiler.manifest import Manifest, Placement

Facts = Mapping[str, Any]
"""What a stage tells about its result; kept in the artifact's record, JSON values only."""


@dataclass(frozen=True)
class Context:
    """The world of one stage on one rank."""

    manifest: Manifest
    rank: int
    world_size: int
    output: Path
    """An unsealed folder; what is written here becomes the artifact."""
    rendezvous: Path | None
    """A file path, unique to this attempt, at which the ranks find each other; None where MASTER_ADDR says it."""
    shard: int | None = None
    """Which of the placement's shards this process computes; None where one job does the whole stage."""
    gathers: bool = False
    """Whether all shards are through but for putting their rows together, which is then what is asked for."""

    @property
    def placement(self) -> Placement:
        """Layout, micro-batch, threads; as the ranks of this job have them, where the stage goes through several jobs
        with other ranks."""
        return self.manifest.placement.with_ranks(self.world_size)

    @property
    def share(self) -> tuple[int, int]:
        """(number, of): which part of the stage's batches this process computes."""
        return (0, 1) if self.shard is None else (self.shard, self.placement.shards)

    @property
    def scratch(self) -> Path:
        """Survives interruptions; what a stage finds here at its start is what it left."""
        return Path(self.manifest.scratch)

    @property
    def cache(self) -> Path:
        """Beside the store, for all of its stages: what is kept here is named by its content, and can be made again."""
        return self.scratch.parents[1] / "cache"

    def input(self, ref: str) -> Path:
        """The sealed folder of the artifact that this ref names."""
        return Path(self.manifest.inputs[ref].path)

    def tell(self, event: str, **fields: Any) -> None:
        """Something worth knowing, for the stage's journal. Rank 0 only writes."""
        if self.rank == 0:
            append_event(Path(self.manifest.journal), event, **fields)

    def progress(self, **fields: Any) -> None:
        """Tells where the stage is: `done`, `total`, `unit`, and what else is worth watching. Rank 0 only writes."""
        if self.rank == 0:
            where = {} if self.shard is None else {"shard": self.shard}
            append_event(Path(self.manifest.journal), "progress", **where, **fields)

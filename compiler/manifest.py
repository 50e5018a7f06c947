"""The document that crosses from compiler to runtime: one stage, ready to run, as JSON."""

from typing import Any, Literal

from pydantic import Field

from compiler.artifacts import InputRecord
from compiler.schema.base import Count, Record, Walltime
from compiler.schema.cluster import Server
from compiler.schema.model import Layout
from compiler.stages import AnyStage


class Placement(Record):
    """Where and how a stage is computed; none of it bears identity."""

    layout: Layout = Layout()
    """Ranks, by what they divide."""
    dp_at_batch: dict[str, Count] = Field(default_factory=dict)
    """Of a batch ramp: global batch size -> data-parallel ranks while it lasts; `layout.dp` where it is not named.
    Where they change, the stage leaves a checkpoint and goes on from it with other ranks; on Slurm in another job."""
    micro_batch_size: Count | None = None
    """Rows of one forward pass on one rank. Where absent: the whole share of the rank in training, 256 elsewhere."""
    sequence_parallel: bool = False
    """Divide what lies between tensor-parallel layers along the sequence."""
    distributed_optimizer: bool = False
    """Divide the optimizer's state over data-parallel ranks."""
    overlap: bool = True
    """Reduce gradients while the backward pass goes on, and gather the parameters of a distributed optimizer while the
    forward pass does."""
    recompute: Literal["none", "selective", "full"] = "none"
    """Activations computed again in the backward pass: none, those of core attention, or all of a layer."""
    shards: Count = 1
    """Jobs among which the rows of a generate, judge, dialogues or tokenize stage are divided."""
    partition: str | None = None
    """Slurm partition; the cluster's first where absent."""
    walltime: Walltime | None = None
    """Longest time of one job, as Slurm writes it (`4:00:00`, `2-00:00:00`); the partition's limit where absent."""
    retries: int = Field(2, ge=0)
    """On Slurm: so often the stage is tried again after a failure that looks like the cluster's (disk, network,
    device); what looks like the recipe's is not tried again."""
    threads: Count = 1
    """CPU threads of each rank."""
    track: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()
    """Where each step's metrics go beside the curve: event files in the run's folder, or a service's own client."""
    checkpoint_every_steps: int = Field(200, ge=0)
    """Optimizer steps between resumable checkpoints; 0 saves none."""
    checkpoint_in_background: bool = False
    """Write them while training goes on: it stops for a copy in the CPU's memory only, and one is on its way at most.
    Until it is whole the one before counts."""
    checkpoints_kept: Count = 1
    """The newest so many stay until the artifact is sealed. A stage resumes from the newest; an older one is a way back
    for a person, who removes those after it."""
    checkpoint_milestones: int = Field(0, ge=0)
    """Those after a multiple of so many optimizer steps stay as well; 0 keeps none more."""

    @property
    def rows_at_once(self) -> int:
        """Rows that one replica answers or scores together, where nothing is trained."""
        return self.micro_batch_size or 256

    def dp_at(self, batch: int) -> int:
        """Data-parallel ranks while the global batch has this size."""
        return self.dp_at_batch.get(str(batch), self.layout.dp)

    def ranks_at(self, batch: int) -> int:
        """All ranks while the global batch has this size."""
        return self._ranks_of_a_replica * self.dp_at(batch)

    def with_ranks(self, ranks: int) -> "Placement":
        """As so many ranks have it, where their number changes with the batch; the same anywhere else."""
        if not self.dp_at_batch:
            return self
        dp = max(1, ranks // self._ranks_of_a_replica)
        return self.model_copy(update={"layout": self.layout.model_copy(update={"dp": dp})})

    @property
    def _ranks_of_a_replica(self) -> int:
        return self.layout.world_size // self.layout.dp


class ManifestInput(InputRecord):
    """One input: where it came from and where it lies."""

    path: str


class Manifest(Record):
    """One stage, ready to run: `python -P -m runtime MANIFEST`."""

    format: Literal[1] = 1
    label: str
    stage: AnyStage
    """Refs are labels; `inputs` tells what each of them is."""
    identity: dict[str, Any]
    """The stage as it was hashed: refs replaced by fingerprints."""
    fingerprint: str
    placement: Placement
    inputs: dict[str, ManifestInput]
    """By label."""
    servers: dict[str, Server] = Field(default_factory=dict)
    """By label, of inputs that are endpoints: where and how they are asked, as the cluster file says."""
    files: tuple[str, ...] = ()
    """Of an adopt stage: absolute paths of what it adopts."""
    output: str
    """The artifact's folder, once sealed."""
    scratch: str
    """Where the stage keeps what it needs to resume; removed when the artifact is sealed."""
    journal: str
    """Append-only event log of this stage in its run, JSON lines."""
    planned: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)

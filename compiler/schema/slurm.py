"""What jobs on a site's Slurm must say: partitions, accounts, how GPUs are asked for, what stands around Python."""

from typing import Annotated, Literal

from pydantic import Field

from compiler.schema.base import Count, Record, Walltime


class Partition(Record):
    """A partition that stages may run in."""

    max_walltime: Walltime | None = None
    """Longest job, as Slurm writes it (`4:00:00`, `2-00:00:00`); asked for where a stage says nothing."""


class Pyxis(Record):
    """NVIDIA's plugin: srun starts each task inside the image."""

    kind: Literal["pyxis"]
    image: str
    """As enroot names it, or the path of a squashfs file. It holds Python and rung."""
    mounts: tuple[str, ...] = ()
    """`from:to`; the store must be among them."""


class Apptainer(Record):
    """Each task is started by `apptainer exec --nv`."""

    kind: Literal["apptainer"]
    image: str
    """Path of a .sif file. It holds Python and rung."""
    mounts: tuple[str, ...] = ()
    """`from:to`; the store must be among them."""


Container = Annotated[Pyxis | Apptainer, Field(discriminator="kind")]


class Slurm(Record):
    """What every job of this site says. Absent fields are left to Slurm's own defaults."""

    partitions: dict[str, Partition] = Field(default_factory=dict)
    """By name; the first is taken where a stage's placement names none."""
    account: str | None = None
    """Who is billed."""
    qos: str | None = None
    """Quality of service."""
    constraint: str | None = None
    """Features that nodes must have."""
    gpus: Literal["gpus_per_node", "gres", "none"] = "gpus_per_node"
    """How GPUs are asked for: `--gpus-per-node=8`, `--gres=gpu:8`, or not at all (whole nodes have them)."""
    exclusive: bool = False
    """Stages that use GPUs take whole nodes."""
    modules: tuple[str, ...] = ()
    """Loaded by `module load` before Python starts."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Variables of every job."""
    container: Container | None = None
    """Where Python runs; on the node itself where absent."""
    python: str | None = None
    """Python with rung on the nodes, or in the container; the submitting command's own where absent."""
    array_tasks: Count | None = None
    """So many shards of one stage run at once; all where absent."""
    max_array_size: Count | None = None
    """Slurm's `MaxArraySize`: a stage has fewer shards than this."""
    warning_s: Count = 120
    """Seconds between the signal to stop and the end, in which a stage is requeued."""
    max_timeouts: Count = 20
    """So often beyond what is planned a job may run into its time limit and be queued again."""
    requeue: bool = True
    """Whether jobs may be queued again, after a preemption, a dead node or a time limit. Where a site forbids it, a
    stage that is planned to take longer than its limit is submitted as a chain of so many jobs, each of which goes on
    where the one before was ended; a stage of one job waits for `rung resume`."""
    spare_jobs: int = Field(1, ge=0)
    """Jobs of a chain beyond what is planned; those that find the stage done end at once."""

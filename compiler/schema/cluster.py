"""A site: what it has and how fast it is. Never bears identity."""

from typing import Annotated, Literal

from pydantic import Field

from compiler.schema.base import Count, Positive, Record


class CpuSpeed(Record):
    """What one core does, for planning. Measured figures; `rung plan` prefers what earlier runs on this store took."""

    start_up_s: Positive
    """A stage without the engine: from submission to its first row."""
    engine_start_up_s: Positive
    """A stage with the engine: imports, process group, building the model, sealing."""
    training_flops: Positive
    """Model FLOP/s of training, forward and backward."""
    generation_flops: Positive
    """Model FLOP/s of batched generation with a KV cache."""
    rows_per_s: Positive
    """Rows read, checked and written by stages without the engine."""


class Cluster(Record):
    """Where stages run."""

    name: str
    executor: Literal["local"]
    """submitit's executor. (Slurm clusters: not yet.)"""
    cores: Count | None = None
    """Cores to use; all of the machine's where absent."""
    memory_bytes: Count | None = None
    cpu: CpuSpeed
    price_per_core_hour: Annotated[float, Field(ge=0)] = 0.0

"""Seconds of a stage: its work over the cluster's speeds, corrected by what its relatives in the store took."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from compiler.checks.model_use import model_label
from compiler.manifest import Placement
from compiler.planning.hardware import GpuType, known_gpu
from compiler.planning.inventory import Inventory
from compiler.planning.memory import Memory, training_memory
from compiler.planning.parameters import training_flops
from compiler.planning.throughput import Run, step_time
from compiler.planning.workload import PhaseWork, Work
from compiler.schema.cluster import Cluster
from compiler.schema.model import ModelSpec
from compiler.stages import Stage


class Cost(NamedTuple):
    """Planned seconds and what they rest on."""

    wall_s: float
    speed_wall_s: float
    """By the cluster's speeds alone, before correction by earlier stages."""
    basis: str
    """`cluster` or `3 earlier stages of this kind`."""
    gpus: int
    """The most that the stage holds at a time."""
    gpu_s: float
    """GPU-seconds; a batch ramp may hold fewer GPUs at first."""
    step_s: tuple[float, ...] = ()
    """On GPUs: seconds of a step, for each stretch of one batch size."""


def cost_of(
    stage: Stage,
    work: Work,
    placement: Placement,
    cluster: Cluster,
    corrections: dict[str, tuple[float, int]],
    model: ModelSpec | None,
) -> Cost:
    """Wall seconds of the stage where its placement puts it; `model` is the one that it trains or runs."""
    gpus = gpus_of(stage, work, placement, cluster)
    steps = step_times(stage, work, placement, cluster, model) if gpus else ()
    estimate = _on_gpus(work, placement, cluster, steps) if gpus else _on_cores(stage, work, placement, cluster)
    kind = str(getattr(stage, "kind", ""))
    factor, basis = 1.0, "cluster"
    if kind in corrections:
        factor, count = corrections[kind]
        basis = f"{count} earlier {'stages' if count > 1 else 'stage'} of this kind"
    gpu_s = estimate.gpu_s if gpus else 0.0
    return Cost(estimate.wall_s * factor, estimate.wall_s, basis, gpus, gpu_s * factor, tuple(steps))


def gpus_of(stage: Stage, work: Work, placement: Placement, cluster: Cluster) -> int:
    """GPUs that the stage holds: its layout's, for each of its shards; none without a model of our own to run."""
    if cluster.gpu is None or not work.flops or not model_label("itself", stage):
        return 0
    return max(ranks_at(placement, phase.global_batch_size) for phase in phases_of(work)) * placement.shards


def step_times(
    stage: Stage, work: Work, placement: Placement, cluster: Cluster, model: ModelSpec | None
) -> Sequence[float]:
    """Seconds of one optimizer step (or of all that is written), for each stretch of one batch size, on GPUs.

    Training on a GPU that the planner knows by its name is timed by a model of the step; else by the FLOP/s that the
    cluster file says are achieved.
    """
    gpu = known_gpu(cluster.gpu.name) if cluster.gpu else None
    if not work.trains or gpu is None or model is None:
        assert cluster.gpu is not None
        speed = cluster.gpu.training_flops if work.trains else cluster.gpu.generation_flops
        return [
            phase.flops_per_step / (ranks_at(placement, phase.global_batch_size) * placement.shards * speed)
            for phase in phases_of(work)
        ]
    return [_modelled(phase, stage, work, placement, gpu, model) for phase in phases_of(work)]


def memory_of(
    stage: Stage, work: Work, placement: Placement, cluster: Cluster, model: ModelSpec | None
) -> Memory | None:
    """What training takes on each GPU, at the batch size that takes most; None of what trains nothing, and on cores."""
    gpu = known_gpu(cluster.gpu.name) if cluster.gpu else None
    if not work.trains or gpu is None or model is None:
        return None
    precision = getattr(stage, "precision", None)
    dtype_bytes = 4.0 if precision is not None and precision.dtype == "fp32" else 2.0
    runs = (training_run(phase, stage, work, placement, gpu, model) for phase in phases_of(work))
    return max((training_memory(run, dtype_bytes=dtype_bytes) for run in runs), key=lambda memory: memory.total)


def _modelled(
    phase: PhaseWork, stage: Stage, work: Work, placement: Placement, gpu: GpuType, model: ModelSpec
) -> float:
    run = training_run(phase, stage, work, placement, gpu, model)
    # Pairs are two sequences a row, and their reference is computed besides: the work says how much more that is.
    plain = training_flops(model, phase.global_batch_size * run.seq_length, run.seq_length)
    return step_time(run).seconds * phase.flops_per_step / plain


def training_run(
    phase: PhaseWork, stage: Stage, work: Work, placement: Placement, gpu: GpuType, model: ModelSpec
) -> Run:
    """A step of this stretch, as the planner's models take it."""
    layout = placement.layout
    dp = placement.dp_at_batch.get(str(phase.global_batch_size), layout.dp)
    seq_length = max(1, round(work.row_tokens))
    precision = getattr(stage, "precision", None)
    return Run(
        model,
        layout.model_copy(update={"dp": dp}),
        gpu,
        seq_length,
        phase.global_batch_size,
        placement.micro_batch_size or max(1, phase.global_batch_size // dp),
        fp8=bool(precision and precision.fp8 and not precision.fp8.emulate and gpu.peak_flops_8),
        recompute=placement.recompute,
        distributed_optimizer=placement.distributed_optimizer,
        sequence_parallel=placement.sequence_parallel,
    )


def ranks_at(placement: Placement, batch: int) -> int:
    """Ranks while the global batch has this size."""
    layout = placement.layout
    return layout.world_size // layout.dp * placement.dp_at_batch.get(str(batch), layout.dp)


def corrections(inventory: Inventory) -> dict[str, tuple[float, int]]:
    """Stage kind -> (median of measured over speed-based seconds, how many stages it rests on)."""
    ratios: dict[str, list[float]] = {}
    for record in inventory.records.values():
        planned, measured = record.planned.get("speed_wall_s"), record.measured.get("wall_s")
        if planned and measured and record.measured.get("attempts") == 1:
            ratios.setdefault(record.kind, []).append(measured / planned)
    return {kind: (median(values), len(values)) for kind, values in ratios.items()}


class _Estimate(NamedTuple):
    wall_s: float
    gpu_s: float


def phases_of(work: Work) -> tuple[PhaseWork, ...]:
    """The stretches of one batch size; a stage without a ramp is one."""
    if work.phases:
        return work.phases
    return (PhaseWork("", work.global_batch_size, max(1, work.steps), work.tokens, work.flops / max(1, work.steps)),)


def _on_gpus(work: Work, placement: Placement, cluster: Cluster, steps: Sequence[float]) -> _Estimate:
    start_up = cluster.cpu.engine_start_up_s
    wall_s, gpu_s = 0.0, 0.0
    for phase, step_s in zip(phases_of(work), steps, strict=True):
        gpus = ranks_at(placement, phase.global_batch_size) * placement.shards
        seconds = phase.steps * step_s + start_up
        wall_s += seconds
        gpu_s += seconds * gpus
    return _Estimate(wall_s, gpu_s)


def _on_cores(stage: Stage, work: Work, placement: Placement, cluster: Cluster) -> _Estimate:
    speed = cluster.cpu
    rows_s = work.rows / (speed.rows_per_s * placement.shards)
    if work.served_tokens:
        return _Estimate(speed.start_up_s + rows_s + work.served_tokens / _served_per_s(cluster), 0.0)
    if not model_label("itself", stage):
        return _Estimate(speed.start_up_s + rows_s, 0.0)
    flops = speed.training_flops if work.trains else speed.generation_flops
    wall_s = speed.engine_start_up_s + work.flops / (flops * placement.layout.world_size * placement.shards)
    return _Estimate(wall_s + rows_s * (not work.trains), 0.0)


def _served_per_s(cluster: Cluster) -> float:
    """The slowest server's: which of them a stage asks is not known here."""
    return min((server.tokens_per_s for server in cluster.servers.values()), default=_UNKNOWN_SERVER)


_UNKNOWN_SERVER = 1000.0
"""Tokens per second of a server that the cluster file does not list."""

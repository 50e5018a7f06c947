"""Seconds of a stage: what it trains, what it asks of models of ours and of servers, and the rows that it moves;
corrected by what its relatives in the store took."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil
from statistics import median
from typing import NamedTuple

from compiler.manifest import Placement
from compiler.planning.asking import Ask
from compiler.planning.generation import Answering, answering_memory, answering_time
from compiler.planning.hardware import GpuType, known_gpu
from compiler.planning.inventory import Inventory
from compiler.planning.memory import Memory, training_memory
from compiler.planning.throughput import Run, step_time
from compiler.planning.workload import PhaseWork, Work
from compiler.schema.cluster import Cluster
from compiler.schema.model import ModelSpec
from compiler.stages import Stage
from compiler.stages.tokenize import Tokenize


class Cost(NamedTuple):
    """Planned seconds and what they rest on."""

    wall_s: float
    speed_wall_s: float
    """By models and the cluster's speeds alone, before correction by earlier stages."""
    basis: str
    """What the seconds rest on: `model of a training step`, `roofline of generation`, `server NAME`, ..."""
    gpus: int
    """The most that the stage holds at a time."""
    gpu_s: float
    """GPU-seconds; a batch ramp may hold fewer GPUs at first."""
    step_s: tuple[float, ...] = ()
    """Where it trains on GPUs: seconds of a step, for each stretch of one batch size."""
    unlisted: tuple[str, ...] = ()
    """Served models that the stage asks and the cluster file does not list: their time and price are not counted."""


def cost_of(
    stage: Stage,
    work: Work,
    placement: Placement,
    cluster: Cluster,
    corrections: dict[str, tuple[float, int]],
    model: ModelSpec | None,
) -> Cost:
    """Wall seconds of the stage where its placement puts it; `model` is the one that it trains or runs.

    What is asked of servers and what is asked of our models comes one after the other, and GPUs are held all the while.
    """
    gpus = gpus_of(work, placement, cluster)
    steps = step_times(stage, work, placement, cluster, model) if gpus and work.trains else ()
    served = _served(work, cluster) if work.asks else _NOT_SERVED
    own = _on_gpus(work, placement, cluster, steps) if gpus else _on_cores(stage, work, placement, cluster)
    wall_s = own.wall_s + served.seconds
    kind = str(getattr(stage, "kind", ""))
    factor, words = 1.0, list(dict.fromkeys((*own.rests_on, *served.rests_on)))
    if kind in corrections:
        factor, count = corrections[kind]
        words.append(f"corrected by {count} earlier {'stages' if count > 1 else 'stage'} of this kind")
    gpu_s = own.gpu_s + served.seconds * gpus
    return Cost(wall_s * factor, wall_s, ", ".join(words), gpus, gpu_s * factor, tuple(steps), served.unlisted)


def gpus_of(work: Work, placement: Placement, cluster: Cluster) -> int:
    """GPUs that the stage holds: its layout's, for each of its shards; none without a model of our own to run."""
    if cluster.gpu is None or not work.flops:
        return 0
    return max(placement.ranks_at(phase.global_batch_size) for phase in phases_of(work)) * placement.shards


def step_times(
    stage: Stage, work: Work, placement: Placement, cluster: Cluster, model: ModelSpec | None
) -> Sequence[float]:
    """Seconds of one optimizer step, for each stretch of one batch size, on GPUs.

    Training on a GPU that the planner knows by its name is timed by a model of the step; else by the FLOP/s that the
    cluster file says are achieved.
    """
    gpu = _known(cluster)
    if gpu is None or model is None:
        assert cluster.gpu is not None
        return [
            phase.flops_per_step / (placement.ranks_at(phase.global_batch_size) * cluster.gpu.training_flops)
            for phase in phases_of(work)
        ]
    runs = [training_run(phase, stage, work, placement, cluster, model) for phase in phases_of(work)]
    return [_modelled(phase, run) for phase, run in zip(phases_of(work), runs, strict=True)]


def memory_of(
    stage: Stage, work: Work, placement: Placement, cluster: Cluster, model: ModelSpec | None
) -> Memory | None:
    """What the stage takes on each GPU at its most: at the batch size of training that takes most, or for the model of
    ours that takes most to ask; None of what runs no model of ours, and on cores."""
    gpu = _known(cluster)
    if gpu is None or not gpus_of(work, placement, cluster):
        return None
    asked = [answering_memory(one) for one in answerings(work, placement, gpu)]
    if not work.trains:
        return max(asked, key=lambda memory: memory.total)
    if model is None:
        return None
    precision = getattr(stage, "precision", None)
    dtype_bytes = 4.0 if precision is not None and precision.dtype == "fp32" else 2.0
    runs = (training_run(phase, stage, work, placement, cluster, model) for phase in phases_of(work))
    trained = max((training_memory(run, dtype_bytes=dtype_bytes) for run in runs), key=lambda memory: memory.total)
    # A reference is asked before the optimizer exists, but beside the weights that will be trained.
    beside = [replace(one, weights=one.weights + trained.weights) for one in asked]
    return max((trained, *beside), key=lambda memory: memory.total)


def answerings(work: Work, placement: Placement, gpu: GpuType) -> Iterator[Answering]:
    """What the stage asks of each model of ours, as the planner's models take it: of one replica."""
    replicas = placement.layout.dp * placement.shards
    for ask in work.asks:
        if ask.model is not None:
            yield answering(ask, placement, gpu, replicas)


def answering(ask: Ask, placement: Placement, gpu: GpuType, replicas: int) -> Answering:
    """The requests of one of so many replicas."""
    assert ask.model is not None
    return Answering(
        ask.model,
        placement.layout.model_copy(update={"dp": 1, "vpp": 1}),
        gpu,
        requests=ask.requests / replicas,
        rows=placement.rows_at_once,
        prompt_tokens=ask.prompt_tokens,
        new_tokens=ask.new_tokens,
        longest=ask.longest,
        answers=ask.answers,
        dtype_bytes=ask.dtype_bytes,
    )


def _modelled(phase: PhaseWork, run: Run) -> float:
    # Pairs are two sequences a row: the work says how much more that is.
    plain = run.model.training_flops(phase.global_batch_size * run.seq_length, run.seq_length)
    return step_time(run).seconds * phase.flops_per_step / plain


def training_run(
    phase: PhaseWork, stage: Stage, work: Work, placement: Placement, cluster: Cluster, model: ModelSpec
) -> Run:
    """A step of this stretch, as the planner's models take it; the cluster's GPU must be one that the planner knows."""
    layout, gpu = placement.layout, _known(cluster)
    assert gpu is not None
    dp = placement.dp_at(phase.global_batch_size)
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
        software=cluster.software_month,
    )


def corrections(inventory: Inventory, cluster: str) -> dict[str, tuple[float, int]]:
    """Stage kind -> (median of measured over speed-based seconds, how many stages it rests on), of this cluster."""
    ratios: dict[str, list[float]] = {}
    for record in inventory.records.values():
        planned, measured = record.planned.get("speed_wall_s"), record.measured.get("wall_s")
        here = record.planned.get("cluster") == cluster
        if here and planned and measured and record.measured.get("attempts") == 1:
            ratios.setdefault(record.kind, []).append(measured / planned)
    return {kind: (median(values), len(values)) for kind, values in ratios.items()}


def phases_of(work: Work) -> tuple[PhaseWork, ...]:
    """The stretches of one batch size; a stage without a ramp is one."""
    if work.phases:
        return work.phases
    return (PhaseWork("", work.global_batch_size, max(1, work.steps), work.tokens, work.flops_per_step),)


def _trained_flops(work: Work) -> float:
    """Of all steps; 0 where nothing is trained."""
    return sum(phase.steps * phase.flops_per_step for phase in phases_of(work)) if work.trains else 0.0


class _Estimate(NamedTuple):
    wall_s: float
    gpu_s: float
    rests_on: tuple[str, ...]


class _Served(NamedTuple):
    seconds: float
    rests_on: tuple[str, ...]
    unlisted: tuple[str, ...]


_NOT_SERVED = _Served(0.0, (), ())


def _known(cluster: Cluster) -> GpuType | None:
    return known_gpu(cluster.gpu.name) if cluster.gpu else None


_CLUSTER = "speeds of the cluster file"


def _on_gpus(work: Work, placement: Placement, cluster: Cluster, steps: Sequence[float]) -> _Estimate:
    """Training, stretch by stretch, and what is asked of our models besides."""
    assert cluster.gpu is not None
    gpu, start_up = _known(cluster), cluster.cpu.engine_start_up_s
    wall_s, gpu_s, words = 0.0, 0.0, []
    if work.trains:
        words.append("model of a training step" if gpu else _CLUSTER)
        for phase, step_s in zip(phases_of(work), steps, strict=True):
            seconds = phase.steps * step_s + start_up
            wall_s += seconds
            gpu_s += seconds * placement.ranks_at(phase.global_batch_size)
    ranks = placement.layout.world_size * placement.shards
    if gpu is not None:
        asked = list(answerings(work, placement, gpu))
        seconds = sum(answering_time(one).seconds for one in asked)
        words += ["roofline of generation"] * any(one.new_tokens for one in asked)
        words += ["roofline of scoring"] * any(not one.new_tokens for one in asked)
    else:
        flops = work.flops - _trained_flops(work)
        seconds = flops / (ranks * cluster.gpu.generation_flops)
        words += [_CLUSTER] * (flops > 0)
    seconds += 0.0 if work.trains else start_up
    return _Estimate(wall_s + seconds, gpu_s + seconds * ranks, tuple(words))


def _on_cores(stage: Stage, work: Work, placement: Placement, cluster: Cluster) -> _Estimate:
    """Rows that are moved, steps that are trained, batches that are answered; the engine where it is needed."""
    speed = cluster.cpu
    rests_on = (f"speeds measured on {speed.host}" if speed.host else _CLUSTER,)
    rows_s = work.rows / (speed.rows_per_s * placement.shards) * (not work.trains)
    if not work.flops:
        start_up = speed.engine_start_up_s if isinstance(stage, Tokenize) else speed.start_up_s
        return _Estimate(start_up + rows_s, 0.0, rests_on)
    ranks = placement.layout.world_size * placement.shards
    seconds = speed.engine_start_up_s + work.steps * speed.step_s
    for phase in phases_of(work) if work.trains else ():
        flops = phase.steps * phase.flops_per_step
        seconds += flops / (speed.training_flops * placement.ranks_at(phase.global_batch_size) * placement.shards)
    seconds += (work.flops - _trained_flops(work)) / (speed.generation_flops * ranks)
    for ask in work.asks:
        if ask.model is not None and ask.new_tokens:
            batches = ceil(ask.requests / (placement.rows_at_once * placement.shards))
            seconds += batches * ask.longest * speed.token_s
    return _Estimate(seconds + rows_s, 0.0, rests_on)


def _served(work: Work, cluster: Cluster) -> _Served:
    """Seconds of the servers that are asked, one after the other; those that are not listed take none."""
    asked = [ask for ask in work.asks if ask.server]
    seconds = sum(
        ask.tokens / cluster.servers[ask.server].tokens_per_s for ask in asked if ask.server in cluster.servers
    )
    words, unlisted = [], []
    for name in dict.fromkeys(ask.server for ask in asked):
        if name in cluster.servers:
            words.append(f"server {name}")
        else:
            words.append(f"without server {name}, which the cluster file does not list")
            unlisted.append(name)
    return _Served(seconds, tuple(words), tuple(unlisted))


def served_price(work: Work, cluster: Cluster) -> float:
    """What servers ask for the stage's tokens, in the cluster file's currency."""
    return sum(
        ask.tokens / 1e6 * cluster.servers[ask.server].price_per_million_tokens
        for ask in work.asks
        if ask.server in cluster.servers
    )

"""What a plan asks of a cluster that the cluster has not."""

from collections.abc import Iterator

from compiler.checks.view import field_place
from compiler.elaborate import ProgramStage
from compiler.errors import Problem, Span, SpecError, did_you_mean
from compiler.graph import StageGraph
from compiler.plan import Plan, PlannedStage
from compiler.reading.tree import span
from compiler.review.layouts import search_stage, written
from compiler.schema.base import minutes
from compiler.schema.cluster import Cluster
from compiler.stages.endpoint import Endpoint


def check_limits(plan: Plan, graph: StageGraph) -> None:
    """Raises SpecError with every stage that does not fit the cluster, or that asks for a server it does not list."""
    problems = [problem for stage in plan.to_run for problem in _problems(stage, graph.stage(stage.label), plan)]
    problems += [problem for stage in plan.to_run for problem in _unstartable(stage, plan, graph)]
    problems += _over_budget(plan, graph)
    if problems:
        raise SpecError(problems)


def _problems(stage: PlannedStage, at: ProgramStage, plan: Plan) -> Iterator[Problem]:
    cluster = plan.cluster
    if cluster.num_gpus and stage.cost.gpus > cluster.num_gpus:
        where = "placement.shards" if stage.placement.shards > 1 else "placement.layout"
        message = f"takes {stage.cost.gpus:,} GPUs, but {cluster.name} has {cluster.num_gpus:,}"
        hint = "a smaller layout (tp * pp * cp * dp, times shards), or another cluster"
        yield Problem(span(field_place(at, where)), f"{at.path}.{where}", message, "too-large", hint)
    if stage.memory is not None and cluster.gpu is not None and stage.memory.total > cluster.gpu.memory_bytes:
        yield _too_large(stage, at, cluster)
    if cluster.executor == "slurm":
        yield from _unplaceable(stage, at, cluster)
    if isinstance(at.stage, Endpoint) and cluster.executor == "slurm" and at.stage.model not in cluster.servers:
        message = f"the cluster file {cluster.name} has no server of {at.stage.model!r}"
        hint = did_you_mean(at.stage.model, cluster.servers) or "list it under `servers`, with its url"
        yield Problem(span(field_place(at, "model")), f"{at.path}.model", message, "unknown-name", hint)


def _unstartable(stage: PlannedStage, plan: Plan, graph: StageGraph) -> Iterator[Problem]:
    """Servers that the stage's job would start, and cannot."""
    cluster = plan.cluster
    models = stage.endpoints.values()
    if not any(model in cluster.servers and cluster.servers[model].start for model in models):
        return
    at = graph.stage(stage.label)
    if cluster.executor != "slurm":
        message = f"asks a server that {cluster.name} says how to start, which only jobs on Slurm do"
        yield Problem(
            at.span, at.path, message, "wrong-value", "start it by hand, and give its `url` in the cluster file"
        )
    elif stage.placement.shards > 1:
        message = "each shard would start a server of its own, and Slurm has no arrays of such jobs"
        hint = "one job: raise the server's `concurrency` instead; or start the server by hand, and give its `url`"
        yield Problem(_span(at, "placement.shards"), f"{at.path}.placement.shards", message, "wrong-value", hint)


def _unplaceable(stage: PlannedStage, at: ProgramStage, cluster: Cluster) -> Iterator[Problem]:
    """What sbatch would take, and Slurm then never start."""
    per_node = cluster.gpus_per_node or 1
    for ranks in dict.fromkeys(leg.ranks for leg in stage.legs):
        if stage.cost.gpus and ranks > per_node and ranks % per_node:
            message = f"takes {ranks} GPUs, which is no whole number of nodes of {per_node}"
            hint = "choose a layout of one node, or of whole nodes"
            field = "layout" if ranks == stage.placement.layout.world_size else "dp_at_batch"
            yield Problem(_span(at, f"placement.{field}"), f"{at.path}.placement.{field}", message, "indivisible", hint)
    most = cluster.slurm.max_array_size
    if most is not None and stage.placement.shards >= most:
        message = f"is {stage.placement.shards:,}, but {cluster.name} takes arrays of fewer than {most:,} jobs"
        yield Problem(_span(at, "placement.shards"), f"{at.path}.placement.shards", message, "too-large")
    partitions, wanted = cluster.slurm.partitions, stage.placement.partition
    if wanted is not None and partitions and wanted not in partitions:
        message = f"the cluster file {cluster.name} has no partition {wanted!r}"
        hint = did_you_mean(wanted, partitions)
        yield Problem(_span(at, "placement.partition"), f"{at.path}.placement.partition", message, "unknown-name", hint)
        return
    name = wanted or next(iter(partitions), None)
    limit = partitions[name].max_walltime if name in partitions else None
    if limit and stage.placement.walltime and minutes(stage.placement.walltime) > minutes(limit):
        message = f"is {stage.placement.walltime}, but partition {name} ends jobs after {limit}"
        hint = "a stage that is not done by then is queued again and goes on: leave the walltime out"
        yield Problem(_span(at, "placement.walltime"), f"{at.path}.placement.walltime", message, "too-large", hint)


def _span(at: ProgramStage, field: str) -> Span:
    return span(field_place(at, field))


def _too_large(stage: PlannedStage, at: ProgramStage, cluster: Cluster) -> Problem:
    """What the stage takes and a GPU has, and layouts in which it fits."""
    assert stage.memory is not None and cluster.gpu is not None
    parts = sorted(stage.memory.parts.items(), key=lambda part: -part[1])[:3]
    shown = ", ".join(f"{name} {size / 1e9:.1f}" for name, size in parts)
    most, has = stage.memory.total / 1e9, cluster.gpu.memory_bytes / 1e9
    message = f"takes {most:.1f} GB on each GPU ({shown}, ...), but {cluster.gpu.name} has {has:.1f}"
    found = search_stage(stage, cluster, most=3)
    fitting = "; ".join(written(one) for one in found)
    hint = f"these fit: {fitting}" if found else "no layout of as many GPUs fits: take more of them"
    return Problem(_span(at, "placement"), f"{at.path}.placement", message, "too-large", hint)


def _over_budget(plan: Plan, graph: StageGraph) -> Iterator[Problem]:
    if graph.budget is None:
        return
    for field, (planned, most) in plan.allowances.items():
        if planned > most:
            entry = graph.budget.tree.entries[field]
            dearest = sorted(plan.to_run, key=lambda stage: -stage.gpu_hours)[:3]
            shown = ", ".join(f"{stage.label} {stage.gpu_hours:,.0f}" for stage in dearest if stage.gpu_hours)
            hint = f"most GPU-hours: {shown}" if shown else ""
            message = f"the plan takes {planned:,.1f}, and the budget is {most:,g}"
            yield Problem(span(entry.value.at), f"budget.{field}", message, "over-budget", hint)

"""What a plan asks of a cluster that the cluster has not."""

from collections.abc import Iterator

from compiler.checks.view import field_place
from compiler.elaborate import ProgramStage
from compiler.errors import Problem, SpecError, did_you_mean
from compiler.graph import StageGraph
from compiler.plan import Plan, PlannedStage
from compiler.reading.tree import span
from compiler.stages.endpoint import Endpoint


def check_limits(plan: Plan, graph: StageGraph) -> None:
    """Raises SpecError with every stage that does not fit the cluster, or that asks for a server it does not list."""
    problems = [problem for stage in plan.to_run for problem in _problems(stage, graph.stage(stage.label), plan)]
    if problems:
        raise SpecError(problems)


def _problems(stage: PlannedStage, at: ProgramStage, plan: Plan) -> Iterator[Problem]:
    cluster = plan.cluster
    if cluster.num_gpus and stage.cost.gpus > cluster.num_gpus:
        where = "placement.shards" if stage.placement.shards > 1 else "placement.layout"
        message = f"takes {stage.cost.gpus:,} GPUs, but {cluster.name} has {cluster.num_gpus:,}"
        hint = "a smaller layout (tp * pp * cp * dp, times shards), or another cluster"
        yield Problem(span(field_place(at, where)), f"{at.path}.{where}", message, "too-large", hint)
    if isinstance(at.stage, Endpoint) and cluster.executor == "slurm" and at.stage.model not in cluster.servers:
        message = f"the cluster file {cluster.name} has no server of {at.stage.model!r}"
        hint = did_you_mean(at.stage.model, cluster.servers) or "list it under `servers`, with its url"
        yield Problem(span(field_place(at, "model")), f"{at.path}.model", message, "unknown-name", hint)

"""What the runtime of this version can run, found before a job exists: a kind is a file name, so a file is an answer.

The language says more than the runtime does yet. Such stages check, draw, plan and render; to run them is refused here.
"""

from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

from compiler.checks.view import field_place
from compiler.elaborate import ProgramStage
from compiler.errors import Problem, SpecError, did_you_mean
from compiler.graph import StageGraph
from compiler.plan import Plan
from compiler.planning.hardware import known_gpu
from compiler.reading.tree import span
from compiler.schema.cluster import SERVERS, Cluster
from compiler.schema.model import Precision
from compiler.stages import Stage
from compiler.stages.endpoint import Endpoint
from compiler.stages.generate import Generate
from compiler.stages.judge import Judge
from compiler.stages.tokenize import Tokenize

_RUNTIME = Path(__file__).resolve().parents[2] / "runtime"


def check_runnable(plan: Plan, graph: StageGraph, *, told: Collection[str] = ()) -> None:
    """Raises SpecError with every stage that would run and cannot. `told`: models served where the environment says."""
    stages = [graph.stage(planned.label) for planned in plan.to_run]
    problems = [
        Problem(stage.span, stage.path, f"{what} cannot be run by this version yet", "not-yet", _HINT)
        for stage in stages
        for what in _missing(stage)
    ]
    problems += _unserved(plan, graph, {*plan.cluster.servers, *told})
    message = f"FP8 needs GPUs that have it, and the cluster {plan.cluster.name} has none"
    problems += [
        Problem(stage.span, f"{stage.path}.precision.fp8", message, "wrong-value", _EMULATE)
        for stage in stages
        if _needs_fp8(stage.stage) and not _has_fp8(plan.cluster)
    ]
    if problems:
        raise SpecError(problems)


def _unserved(plan: Plan, graph: StageGraph, servers: Collection[str]) -> Iterator[Problem]:
    """Endpoints that a stage which runs would ask, and of which nobody says where they are."""
    asked = {need for planned in plan.to_run for need in planned.needs}
    for at in (graph.stage(planned.label) for planned in plan.stages if planned.label in asked):
        if isinstance(at.stage, Endpoint) and at.stage.model not in servers:
            message = f"the cluster file {plan.cluster.name} has no server of {at.stage.model!r}"
            hint = did_you_mean(at.stage.model, servers) or f"list it under `servers`, or name its url in {SERVERS}"
            yield Problem(span(field_place(at, "model")), f"{at.path}.model", message, "unknown-name", hint)


_HINT = "it is checked, drawn, planned and rendered; `rung plan` shows the rest"


_EMULATE = "`emulate: true` shows what the rounding does to a loss curve, on any machine"


def _needs_fp8(stage: Stage) -> bool:
    precision: Precision | None = getattr(stage, "precision", None)
    return precision is not None and precision.fp8 is not None and not precision.fp8.emulate


def _has_fp8(cluster: Cluster) -> bool:
    """A GPU that the planner does not know may have it."""
    known = known_gpu(cluster.gpu.name) if cluster.gpu else None
    return cluster.gpu is not None and (known is None or known.peak_flops_8 > 0)


def _missing(at: ProgramStage) -> Iterator[str]:
    stage = at.stage
    if not _has("stages", at.kind):
        yield f"stages of kind {at.kind}"
        return
    for room, piece in _pieces(stage):
        kind = getattr(piece, "kind", "")
        if not _has(room, kind):
            yield f"{room[:-1]} {kind!r}"
    if at.placement.shards > 1 and not isinstance(stage, Generate | Judge | Tokenize):
        yield f"`shards` of a stage of kind {at.kind}"


def _pieces(stage: Stage) -> Iterator[tuple[str, object]]:
    """(folder of the runtime, record) of what the stage is made of."""
    for field, room in _ROOMS:
        piece = getattr(stage, field, None)
        if piece is not None:
            yield room, piece
    if hasattr(stage, "reference"):
        yield "losses", getattr(stage, "loss", None)


_ROOMS = (("generator", "generators"), ("judge", "judges"), ("fitness", "judges"))
"""(field of a stage, folder of the runtime)"""


@cache
def _has(room: str, kind: str) -> bool:
    return (_RUNTIME / room / f"{kind}.py").is_file()

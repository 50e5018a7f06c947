"""What the runtime of this version can run, found before a job exists: a kind is a file name, so a file is an answer.

The language says more than the runtime does yet. Such stages check, draw, plan and render; to run them is refused here.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from compiler.elaborate import ProgramStage
from compiler.errors import Problem, SpecError
from compiler.graph import StageGraph
from compiler.plan import Plan
from compiler.stages import Stage
from compiler.stages.generate import Generate
from compiler.stages.judge import Judge
from compiler.stages.reward_model import RewardModel
from compiler.stages.tokenize import Tokenize

_RUNTIME = Path(__file__).resolve().parents[2] / "runtime"


def check_runnable(plan: Plan, graph: StageGraph) -> None:
    """Raises SpecError with every stage that would run and cannot."""
    problems = [
        Problem(stage.span, stage.path, f"{what} cannot be run by this version yet", "not-yet", _HINT)
        for stage in (graph.stage(planned.label) for planned in plan.to_run)
        for what in _missing(stage)
    ]
    if problems:
        raise SpecError(problems)


_HINT = "it is checked, drawn, planned and rendered; `rung plan` shows the rest"


def _missing(at: ProgramStage) -> Iterator[str]:
    stage = at.stage
    if not _has("stages", at.kind):
        yield f"stages of kind {at.kind}"
        return
    for room, piece in _pieces(stage):
        kind = getattr(piece, "kind", "")
        if not _has(room, kind):
            yield f"{room[:-1]} {kind!r}"
    if isinstance(stage, RewardModel) and stage.responses is None:
        yield "a reward model that learns from ratings or preferences"
    precision = getattr(stage, "precision", None)
    if precision is not None and precision.fp8 is not None:
        yield "FP8"
    if at.placement.dp_at_batch:
        yield "`dp_at_batch`"
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


_ROOMS = (("generator", "generators"), ("judge", "judges"), ("fitness", "judges"), ("grade", "judges"))
"""(field of a stage, folder of the runtime)"""


@cache
def _has(room: str, kind: str) -> bool:
    return (_RUNTIME / room / f"{kind}.py").is_file()

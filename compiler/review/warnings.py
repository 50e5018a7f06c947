"""What a person should know before a plan is carried out, though nothing in it is wrong."""

from collections.abc import Iterator
from itertools import groupby

from compiler.plan import Plan, PlannedStage
from compiler.planning.hardware import known_gpu

_NEARLY_FULL = 0.9
"""Of a GPU's memory; the planner's count of memory is within 10 % of what was measured."""
_SHOWN = 3


def warnings(plan: Plan) -> Iterator[str]:
    """A sentence each."""
    for stage in plan.stages:
        if stage.drift:
            fields = "one field" if len(stage.drift) == 1 else f"{len(stage.drift)} fields"
            yield f"{stage.label} is pinned, but the recipe says otherwise in {fields}"
    yield from _full(plan)
    gpu = plan.cluster.gpu
    if gpu is not None and known_gpu(gpu.name) is None and any(stage.cost.gpus for stage in plan.to_run):
        yield f"the planner does not know the GPU {gpu.name}: times rest on the FLOP/s in the cluster file"
    guessed = [stage for stage in plan.to_run if "cluster file" in stage.cost.basis and not stage.cost.gpus]
    if plan.cluster.executor == "local" and any("corrected" not in stage.cost.basis for stage in guessed):
        yield "times rest on the speed of another machine: `rung probe --here` measures this one in some seconds"
    if plan.unlisted:
        yield f"the cluster file lists no server of {', '.join(plan.unlisted)}: its time and price are not counted"
    unsure = [stage for stage in plan.to_run if stage.work.approximate]
    if unsure:
        yield f"the rows of {len(unsure):,} stages are guesses (~), and so are the times that rest on them"


def _full(plan: Plan) -> Iterator[str]:
    """Stages that fit, but barely; those that take the same are told together."""
    gpu = plan.cluster.gpu
    if gpu is None:
        return
    full = [stage for stage in plan.to_run if stage.memory and stage.memory.total > _NEARLY_FULL * gpu.memory_bytes]
    for memory, stages in groupby(sorted(full, key=_memory_gb), key=_memory_gb):
        verb = "takes" if len(labels := [stage.label for stage in stages]) == 1 else "take"
        yield f"{_named(labels)} {verb} {memory:.0f} of {gpu.memory_bytes / 1e9:.0f} GB of each GPU"


def _memory_gb(stage: PlannedStage) -> int:
    return round(stage.memory.total / 1e9) if stage.memory else 0


def _named(labels: list[str]) -> str:
    more = len(labels) - _SHOWN
    return ", ".join(labels[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")

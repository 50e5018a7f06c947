"""Why a stage will run or not, what it makes run besides, and what that costs again."""

from dataclasses import dataclass

from compiler.checks.view import field_place
from compiler.errors import Span
from compiler.graph import StageGraph
from compiler.plan import Plan
from compiler.planning.differences import Cause, root_causes
from compiler.planning.inventory import Inventory
from compiler.planning.reuse import nearest_relative
from compiler.reading.tree import span


@dataclass(frozen=True)
class PlacedCause:
    """A cause and the place in the recipe where the new value stands."""

    cause: Cause
    at: Span


@dataclass(frozen=True)
class Explanation:
    """What is to say of one stage of a plan."""

    label: str
    action: str
    reason: str
    fingerprint: str
    relative: str
    """Fingerprint of the nearest sealed relative; empty if there is none."""
    causes: tuple[PlacedCause, ...]
    """What was written anew since the relative was sealed; of a pinned stage, since its artifact was."""
    invalidated: tuple[str, ...]
    """Stages downstream that will run, in topological order."""
    gpu_hours: float
    """Of this stage and of those, planned."""
    core_hours: float
    spent_hours: float
    """Wall hours that the nearest sealed relatives of these stages were measured to take."""


def explain(label: str, plan: Plan, graph: StageGraph, inventory: Inventory) -> Explanation:
    """The explanation of one stage; the plan must be of this graph and this inventory."""
    stages = {stage.label: stage for stage in plan.stages}
    stage = stages[label]
    nearest = nearest_relative(label, stage.kind, stage.identity, inventory)
    causes: tuple[PlacedCause, ...] = ()
    if stage.action == "run" and nearest is not None:
        found = root_causes(
            label,
            nearest.record.stage,
            {one.label: one.identity for one in plan.stages},
            {one.fingerprint: one.label for one in reversed(plan.stages)},
            lambda print_: record.stage if (record := inventory.records.get(print_)) else None,
        )
        causes = tuple(PlacedCause(cause, _place(cause, graph)) for cause in found)
    if stage.pinned:
        drift = (Cause(label, path, old, new) for path, old, new in stage.drift)
        causes = tuple(PlacedCause(cause, _place(cause, graph)) for cause in drift)
    behind = graph.descendants(label)
    invalidated = tuple(one.label for one in plan.to_run if one.label in behind)
    again = [one for one in plan.to_run if one.label == label or one.label in behind]
    spent = 0.0
    for one in again:
        before = inventory.relatives(one.kind, one.label)
        spent += float(before[0].measured.get("wall_s", 0.0)) / 3600 if before and before[0].label == one.label else 0.0
    return Explanation(
        label,
        stage.action,
        stage.reason,
        stage.fingerprint,
        nearest.record.fingerprint if nearest else "",
        causes,
        invalidated if stage.action == "run" else (),
        sum(one.gpu_hours for one in again),
        sum(one.core_hours for one in again),
        spent,
    )


def _place(cause: Cause, graph: StageGraph) -> Span:
    return span(field_place(graph.stage(cause.label), cause.path))

"""Where rows come from: back through the stages that only move rows, to those that made them."""

from collections.abc import Iterator

from compiler.checks.view import View
from compiler.elaborate import ProgramStage
from compiler.stages.dedup import Dedup
from compiler.stages.mix import Mix
from compiler.stages.select import Select
from compiler.stages.split import Split


def origins(view: View, label: str) -> Iterator[ProgramStage]:
    """The stages that made the rows of this one; itself, if it does more than move them."""
    seen = {label}
    waiting = [label]
    while waiting:
        at = view.stages[waiting.pop()]
        moved = _moved(at)
        if not moved:
            yield at
        for source in moved:
            if source not in seen:
                seen.add(source)
                waiting.append(source)


Kept = frozenset[tuple[str, frozenset[str]]]
"""(split, parts of it): what the split stages on a way let through; a split is known by its content."""


def ways(view: View, label: str) -> Iterator[tuple[ProgramStage, Kept]]:
    """The same stages, each with what the split stages on the way from there keep; once for every different way."""
    start: tuple[str, Kept] = (label, frozenset())
    seen, waiting = {start}, [start]
    while waiting:
        at_label, kept = waiting.pop()
        at = view.stages[at_label]
        moved = _moved(at)
        if not moved:
            yield at, kept
        if isinstance(at.stage, Split):
            kept = kept | {(at.stage.split.model_dump_json(), frozenset(at.stage.parts))}
        for way in ((source, kept) for source in moved):
            if way not in seen:
                seen.add(way)
                waiting.append(way)


def are_apart(one: Kept, other: Kept) -> bool:
    """Whether no row can have come both ways: some split lets other parts through here than there."""
    return any(split == same and not parts & others for split, parts in one for same, others in other)


def _moved(at: ProgramStage) -> tuple[str, ...]:
    match at.stage:
        case Mix():
            return tuple(at.stage.data)
        case Split() | Select() | Dedup():
            return (at.stage.data,)
        case _:
            return ()

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


def _moved(at: ProgramStage) -> tuple[str, ...]:
    match at.stage:
        case Mix():
            return tuple(at.stage.data)
        case Split() | Select() | Dedup():
            return (at.stage.data,)
        case _:
            return ()

"""A stage graph for a terminal: one line a stage, with the wave it can start in, its kind and what it needs."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from compiler.draw.grouping import Group, group_stages, name_from, short_name
from compiler.graph import StageGraph

_MOST_INPUTS = 6


def draw_text(graph: StageGraph) -> str:
    """The picture; stages of one wave can run side by side once the waves before are done."""
    waves = _waves(graph)
    lines = list(_lines(group_stages(graph), 0, graph, waves))
    widths = [max((len(line.cells[column]) for line in lines if line.cells), default=0) for column in range(3)]
    title = f"{graph.name}: {_count(len(graph), 'stage')} in {_count(max(waves.values(), default=0), 'wave')}"
    return "\n".join([title, "", *(line.format(widths) for line in lines)])


class _Line(NamedTuple):
    """A heading, or the cells of a stage: wave, name, kind, inputs."""

    heading: str
    cells: tuple[str, str, str, str] | None

    def format(self, widths: list[int]) -> str:
        """The line with its columns in place."""
        if self.cells is None:
            return f"{' ' * widths[0]}  {self.heading}"
        wave, name, kind, inputs = self.cells
        return f"{wave:>{widths[0]}}  {name:<{widths[1]}}  {kind:<{widths[2]}}  {inputs}".rstrip()


def _lines(group: Group, depth: int, graph: StageGraph, waves: Mapping[str, int]) -> Iterator[_Line]:
    for member in group.members:
        indent = "  " * depth
        if isinstance(member, str):
            yield _Line(
                "", (str(waves[member]), indent + short_name(member), graph.stage(member).kind, _inputs(member, graph))
            )
            continue
        rounds = sum(
            isinstance(inner, Group) and inner.title.startswith(f"{member.title} ") for inner in member.members
        )
        yield _Line(f"{indent}{member.title}:" + (f" {_count(rounds, 'round')}" if rounds else ""), None)
        yield from _lines(member, depth + 1, graph, waves)


def _inputs(label: str, graph: StageGraph) -> str:
    names = [name_from(ref, label) for ref in graph.inputs(label)]
    shown = ", ".join(names[:_MOST_INPUTS])
    return shown + (f" and {len(names) - _MOST_INPUTS} more" if len(names) > _MOST_INPUTS else "")


def _waves(graph: StageGraph) -> Mapping[str, int]:
    waves: dict[str, int] = {}
    for label in graph.order():
        waves[label] = 1 + max((waves[ref] for ref in graph.inputs(label)), default=0)
    return waves


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"

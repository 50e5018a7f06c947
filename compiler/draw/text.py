"""Stages for a terminal: one line a stage, with the wave it can start in, its kind and what it needs."""

from collections.abc import Iterator
from typing import NamedTuple

from compiler.draw.picture import Frame, Node, Picture, name_from

_MOST_INPUTS = 6


def draw_text(picture: Picture) -> str:
    """The picture; stages of one wave can run side by side once the waves before are done."""
    lines = list(_lines(picture.root, 0))
    widths = [max((len(line.cells[column]) for line in lines if line.cells), default=0) for column in range(3)]
    waves = max((node.wave for node in picture.nodes), default=0)
    title = f"{picture.name}: {_count(len(picture.nodes), 'stage')} in {_count(waves, 'wave')}"
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


def _lines(frame: Frame, depth: int) -> Iterator[_Line]:
    indent = "  " * depth
    for member in frame.members:
        if isinstance(member, Node):
            yield _Line("", (str(member.wave), indent + member.name, member.kind, _inputs(member)))
            continue
        rounds = f" {_count(member.num_rounds, 'round')}" if member.sort == "loop" else ""
        yield _Line(f"{indent}{member.title}:{rounds}", None)
        yield from _lines(member, depth + 1)


def _inputs(node: Node) -> str:
    names = [name_from(need, node.label) for need in node.needs]
    shown = ", ".join(names[:_MOST_INPUTS])
    return shown + (f" and {len(names) - _MOST_INPUTS} more" if len(names) > _MOST_INPUTS else "")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"

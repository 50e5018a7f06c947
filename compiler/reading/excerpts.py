"""The lines that problems speak of, and how far the value at each place reaches: read again, when there is a problem.

Trees do not carry the ends of their values, because only a mistake ever asks for one.
"""

import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from compiler.errors import Problem, Span
from compiler.reading.overrides import FILE as COMMAND_LINE
from compiler.reading.parse import DEEPEST, LOADER

_LARGEST_BYTES = 64_000_000
_BREAKS = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""What ends a line in YAML; str.splitlines knows more, and would count other lines than the parser."""


class Excerpt(NamedTuple):
    """A line of a file, and the column after the value that begins at the place; None if that is not known."""

    line: str
    end_column: int | None


def excerpts(problems: Iterable[Problem], overrides: Sequence[str] = ()) -> Mapping[Span, Excerpt]:
    """What stands at every place of the problems; places that cannot be read (any more) are left out."""
    wanted: dict[str, set[Span]] = {}
    for problem in problems:
        for place in [problem.span, *(related for related, _ in problem.related)]:
            if place is not None:
                wanted.setdefault(place.file, set()).add(place)
    found: dict[Span, Excerpt] = {}
    for file, places in wanted.items():
        if file == COMMAND_LINE:
            found.update(_of_overrides(places, overrides))
        else:
            text = _read(Path(file))
            found.update(_of_text(places, text) if text is not None else {})
    return found


def _of_text(places: Collection[Span], text: str) -> Mapping[Span, Excerpt]:
    lines = _BREAKS.split(text)
    ends = _ends(text, {(place.line, place.column) for place in places})
    return {
        place: Excerpt(line, _within(line, ends.get((place.line, place.column))))
        for place in places
        if 1 <= place.line <= len(lines) and place.column <= len(line := lines[place.line - 1]) + 1
    }


def _within(line: str, end: int | None) -> int | None:
    return None if end is None else min(end, len(line.rstrip()) + 1)


def _of_overrides(places: Collection[Span], overrides: Sequence[str]) -> Mapping[Span, Excerpt]:
    found = {}
    for place in places:
        if 1 <= place.line <= len(overrides):
            text = overrides[place.line - 1]
            equals = text.find("=")
            if place.column <= equals + 1:
                end = equals + 1
            else:
                start = equals + 1
                ends = _ends(text[start:], {(1, place.column - start)})
                end = ends.get((1, place.column - start), len(text) + 1 - start) + start
            found[place] = Excerpt(text, _within(text, max(end, place.column + 1)))
    return found


def _read(file: Path) -> str | None:
    """The text; None where there is none. The file may have changed or gone since the problem was found."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return None
        with file.open("rb") as stream:
            return stream.read(_LARGEST_BYTES).decode("utf-8-sig", errors="replace")
    except (OSError, ValueError):
        return None


_END_OF_LINE = 2**31


def _events(text: str) -> Iterator[Any]:
    # PyYAML's types allow for events without a place; its parsers make none.
    yield from yaml.parse(text, Loader=LOADER)


def _ends(text: str, places: Collection[tuple[int, int]]) -> Mapping[tuple[int, int], int]:
    """The column after each word, quoted text or bracket that begins at one of the places, on its first line."""
    found: dict[tuple[int, int], int] = {}
    last = max((line for line, _ in places), default=0)
    opened: list[tuple[tuple[int, int], bool]] = []

    def note(start: tuple[int, int], end: Any) -> None:
        if start in places and end is not None:
            found.setdefault(start, end.column + 1 if end.line + 1 == start[0] else _END_OF_LINE)

    try:
        for event in _events(text):
            start = (event.start_mark.line + 1, event.start_mark.column + 1)
            if start[0] > last and not any(begin in places and flow for begin, flow in opened):
                break
            if isinstance(event, yaml.CollectionStartEvent):
                if len(opened) > DEEPEST:
                    break  # Nobody reads on from there, and PyYAML takes ever longer to.
                opened.append((start, bool(event.flow_style)))
            elif isinstance(event, yaml.CollectionEndEvent):
                begin, flow = opened.pop()
                # A block has no bracket to underline: its first key stands for it.
                note(begin, event.end_mark if flow else None)
            elif isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
                note(start, event.end_mark)
    except (yaml.YAMLError, ValueError):
        pass  # Behind a mistake of syntax nothing has an end; what came before it has.
    return found

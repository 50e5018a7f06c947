"""Problems as a person reads them: each with the line that it speaks of, a caret under the place, hint and other end.

    recipe.yaml:5:13: pipeline.sft.epochs: is -1, but must be at least 1 [out-of-range]
       5 |     epochs: -1
         |             ^^
         hint: ...
         recipe.yaml:2:9: used here

The first line of each is for editors too, so it is never wrapped, cropped or decorated with anything but colour.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from compiler.errors import Problem, Span, SpecError, visible
from compiler.reading.excerpts import Excerpt, excerpts
from compiler.reading.overrides import FILE as COMMAND_LINE

_WIDTH_WITHOUT_TERMINAL = 120
_TAB = "    "


def show_problems(console: Console, error: SpecError, overrides: Sequence[str] = ()) -> None:
    """Prints every problem; `overrides` are the texts given by --set."""
    width = console.width if console.is_terminal else _WIDTH_WITHOUT_TERMINAL
    found = excerpts(error.problems, overrides)
    for problem in error.problems:
        for line in problem_lines(problem, found, width):
            console.print(line, soft_wrap=True, highlight=False)
    many = len(error.problems)
    words = f"{many} problem{'s' if many > 1 else ''}; `rung errors CODE` says what a code means"
    console.print(Text(words, style="dim"), soft_wrap=True)


def problem_lines(problem: Problem, found: Mapping[Span, Excerpt], width: int) -> list[Text]:
    """One problem; lines of files are cropped to the width, in cells."""
    places = [span for span in (problem.span, *(span for span, _ in problem.related)) if span in found]
    gutter = max([len(_gutter(span)) for span in places if span], default=0) + 2
    below = " " * (gutter + 1)
    lines = [_headline(problem), *_snippet(problem.span, found, gutter, width, "bold red")]
    if problem.hint:
        lines.append(Text.assemble(below, ("hint: ", "bold green"), visible(problem.hint)))
    for span, word in problem.related:
        lines.append(Text.assemble(below, (visible(str(span)), "bold"), ": ", (visible(word), "blue")))
        lines += _snippet(span, found, gutter, width, "bold blue")
    return lines


def problems_json(error: SpecError, overrides: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Every problem as data; `end_column` is the one after the value, where that is known."""
    found = excerpts(error.problems, overrides)
    return [
        {
            **_place_json(problem.span, found),
            "path": problem.path,
            "code": problem.code,
            "message": problem.message,
            "hint": problem.hint,
            "related": [{**_place_json(span, found), "message": word} for span, word in problem.related],
        }
        for problem in error.problems
    ]


def _place_json(span: Span | None, found: Mapping[Span, Excerpt]) -> dict[str, Any]:
    if span is None:
        return {"file": None, "line": None, "column": None, "end_column": None}
    end = found[span].end_column if span in found else None
    return {"file": span.file, "line": span.line, "column": span.column, "end_column": end}


def _headline(problem: Problem) -> Text:
    return Text.assemble(
        (visible(f"{problem.span}: ") if problem.span else "", "bold"),
        (visible(f"{problem.path}: ") if problem.path else "", "cyan"),
        visible(problem.message),
        (f" [{problem.code}]", "red"),
    )


def _gutter(span: Span) -> str:
    return COMMAND_LINE if span.file == COMMAND_LINE else str(span.line)


def _snippet(span: Span | None, found: Mapping[Span, Excerpt], gutter: int, width: int, style: str) -> list[Text]:
    """The line, and below it the caret; nothing where the line cannot be read."""
    if span is None or span not in found:
        return []
    crop = _crop(found[span], span.column, max(20, width - gutter - 4))
    return [
        Text.assemble((f"{_gutter(span):>{gutter}} | ", "dim"), crop.line),
        Text.assemble((f"{'':>{gutter}} | ", "dim"), " " * crop.indent, ("^" * crop.length, style)),
    ]


class _Crop(NamedTuple):
    """A line as it is shown, and where its caret stands; in cells."""

    line: str
    indent: int
    length: int


def _crop(excerpt: Excerpt, column: int, width: int) -> _Crop:
    """As much of the line around the value as there is room for."""
    first = column - 1
    last = max(column, (excerpt.end_column or 0) - 1) - 1
    # However few cells letters take, no more of them than this are looked at: lines may have megabytes.
    begin, end = max(0, first - 4 * width), min(len(excerpt.line), first + 4 * width)
    letters = [_TAB if letter == "\t" else visible(letter) for letter in excerpt.line[begin:end].rstrip()]
    edges = [0, *accumulate(cell_len(letter) for letter in letters)]
    mark = min(first - begin, len(letters))
    stop = max(mark, min(last - begin + 1, len(letters)))
    left, right = 0, len(letters)
    if edges[right] > width or begin or end < len(excerpt.line.rstrip()):
        room = width - 2
        left = _first_edge(edges, max(0, min(edges[mark] - room // 3, edges[-1] - room)))
        while edges[right] - edges[left] > room and right > mark + 1:
            right -= 1
    dots = "…" if left or begin else "", "…" if right < len(letters) or end < len(excerpt.line.rstrip()) else ""
    shown = dots[0] + "".join(letters[left:right]) + dots[1]
    indent = len(dots[0]) + edges[mark] - edges[left]
    return _Crop(shown, indent, max(1, edges[min(stop, right)] - edges[mark]))


def _first_edge(edges: Sequence[int], at_least: int) -> int:
    return next(index for index, edge in enumerate(edges) if edge >= at_least)

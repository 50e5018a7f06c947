"""What is wrong with a spec, and where: spans, problems, and the one exception that carries them all."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from compiler.codes import Code


@dataclass(frozen=True, order=True)
class Span:
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Problem:
    """One mistake: where, in which field, what is wrong, and what to write instead."""

    span: Span | None
    path: str
    """The field, as `pipeline.rpo.stages.train.loss.beta`; empty for the whole file."""
    message: str
    code: Code
    """Stable name of the kind of problem: `unknown-key`, `duplicate-key`, `wrong-artifact`, ..."""
    hint: str = ""
    related: tuple[tuple[Span, str], ...] = field(default=())
    """Other places that matter, each with a word: where the other end of an edge was declared."""

    def __str__(self) -> str:
        place = f"{self.span}: " if self.span else ""
        lines = [f"{place}{self.path + ': ' if self.path else ''}{self.message} [{self.code}]"]
        lines += [f"    hint: {self.hint}"] if self.hint else []
        lines += [f"    {span}: {word}" for span, word in self.related]
        return "\n".join(map(visible, lines))


class SpecError(Exception):
    """The user's mistakes that one pass found, all of them."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: Sequence[Problem] = tuple(sorted(set(problems), key=_in_reading_order))
        assert self.problems
        super().__init__("\n".join(str(problem) for problem in self.problems))


def _in_reading_order(problem: Problem) -> tuple[bool, Span, str]:
    return (problem.span is None, problem.span or Span("", 0, 0), problem.path)


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """A hint that names the nearest of the choices, or lists them when none is near and there are few."""
    known = sorted(set(choices))
    for near in nearest(word, known):
        return f"did you mean {near!r}?"
    return f"choose from {', '.join(known)}" if 0 < len(known) <= 30 else ""


def nearest(word: str, choices: Iterable[str]) -> list[str]:
    """The choice that was probably meant, if any is near."""
    return get_close_matches(word, sorted(set(choices)), n=1, cutoff=0.6)


def visible(text: str) -> str:
    """The text with what a terminal would obey or hide written out: control characters, overrides of direction."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"<U+{ord(letter):04X}>" if _is_hidden(letter) else letter for letter in text)


def _is_hidden(letter: str) -> bool:
    # The zero-width joiner holds emoji together; it hides nothing.
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp") and letter != "\u200d"

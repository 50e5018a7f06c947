"""What every task family offers, and how a checked answer becomes HelpSteer's five attributes."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

FieldsT = TypeVar("FieldsT")


@dataclass(frozen=True)
class Task(Generic[FieldsT]):
    """One prompt and what it asks for."""

    family: str
    prompt: str
    fields: FieldsT
    """A named tuple of the family's own: all that the prompt says."""


@dataclass(frozen=True)
class Verdict:
    """What the verifier says of one response."""

    passed: bool
    attributes: Mapping[str, float]
    """HelpSteer's five, each from 0 to 4, computed from the text alone."""


class TaskFamily(Protocol):
    """The module of a family."""

    def draw(self, rng: random.Random) -> Task[Any]:
        """A task out of the family's space."""
        ...

    def parse(self, prompt: str) -> Task[Any] | None:
        """The inverse of a task's prompt; None for any text that `draw` could not have written."""
        ...

    def answer(self, task: Task[Any], rng: random.Random) -> str:
        """A correct answer; where many are correct, one of them."""
        ...

    def mistake(self, task: Task[Any], rng: random.Random) -> str:
        """A typical wrong answer; never a correct one."""
        ...

    def judge(self, task: Task[Any], response: str) -> Verdict:
        """Checks a response."""
        ...


_MANY_DISTINCT_WORDS = 8


def verdict(words: Sequence[str], *, wanted: int, right: float, well_formed: float) -> Verdict:
    """The attributes of a response of these words, of which `wanted` were asked for.

    `right` is the share of what was asked that is there, 1 only for a correct response; `well_formed` the share of
    words that fit the form of an answer at all. Verbosity is 2 at the length asked for. Complexity grows with the
    number of different words: like in HelpSteer, it says something of the text, little of its worth.
    """
    passed = right == 1
    return Verdict(
        passed,
        {
            "helpfulness": 4.0 if passed else round(3 * min(right, well_formed), 4),
            "correctness": round(4 * right, 4),
            "coherence": round(4 * well_formed, 4),
            "complexity": round(4 * min(1, len(set(words)) / _MANY_DISTINCT_WORDS), 4),
            "verbosity": round(4 * min(1, len(words) / (2 * wanted)), 4),
        },
    )


def share_in_place(words: Sequence[str], expected: Sequence[str]) -> float:
    """Share of positions that hold the expected word; 1 only for equal sequences."""
    matches = sum(word == wanted for word, wanted in zip(words, expected, strict=False))
    return matches / max(len(words), len(expected))


def share_of(words: Sequence[str], fits: Callable[[str], bool]) -> float:
    """Share of the words that fit; 0 where there are none."""
    return sum(map(fits, words)) / len(words) if words else 0.0


def pick_wrong(candidates: Iterable[str], judge: Callable[[str], Verdict], rng: random.Random) -> str:
    """One of the candidates that the judge does not pass: a mistake may happen to be right."""
    wrong = [text for text in dict.fromkeys(candidates) if text and not judge(text).passed]
    return rng.choice(wrong)

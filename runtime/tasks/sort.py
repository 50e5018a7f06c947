"""sort: `>>> sort 7 1 4 up` -> `1 4 7`."""

import random
import re
from string import digits as all_digits
from typing import NamedTuple

from runtime.tasks.base import Task, Verdict, pick_wrong, share_in_place, share_of, verdict

_PROMPT = re.compile(r">>> sort ([0-9](?: [0-9]){1,3}) (up|down)")
_LENGTHS = (2, 3, 3, 4, 4, 4)
"""Short prompts are few (180 of two digits), so they are drawn less often."""


class Sort(NamedTuple):
    """Two to four different digits, and where to go."""

    digits: tuple[str, ...]
    direction: str


def draw(rng: random.Random) -> Task[Sort]:
    """Both directions equally often."""
    return _task(Sort(tuple(rng.sample(all_digits, rng.choice(_LENGTHS))), rng.choice(("up", "down"))))


def parse(prompt: str) -> Task[Sort] | None:
    """The inverse of `draw`'s prompt."""
    match = _PROMPT.fullmatch(prompt)
    if match is None:
        return None
    digits = tuple(match[1].split(" "))
    return _task(Sort(digits, match[2])) if len(set(digits)) == len(digits) else None


def answer(task: Task[Sort], rng: random.Random) -> str:
    """The digits in order."""
    return " ".join(_sorted(task.fields))


def mistake(task: Task[Sort], rng: random.Random) -> str:
    """The other direction, the digits as they were, one forgotten, one misread, or two that changed places."""
    right = _sorted(task.fields)
    place = rng.randrange(len(right))
    neighbour = (place + 1) % len(right)
    swapped = list(right)
    swapped[place], swapped[neighbour] = right[neighbour], right[place]
    misread = [*right[:place], rng.choice(all_digits), *right[place + 1 :]]
    candidates = [right[::-1], task.fields.digits, right[:place] + right[place + 1 :], misread, swapped]
    return pick_wrong((" ".join(digits) for digits in candidates), lambda text: judge(task, text), rng)


def judge(task: Task[Sort], response: str) -> Verdict:
    """Exactly these digits, in this order."""
    words = response.split()
    expected = _sorted(task.fields)
    return verdict(
        words,
        wanted=len(expected),
        right=share_in_place(words, expected),
        well_formed=share_of(words, lambda word: len(word) == 1 and word in all_digits),
    )


def _sorted(fields: Sort) -> list[str]:
    return sorted(fields.digits, reverse=fields.direction == "down")


def _task(fields: Sort) -> Task[Sort]:
    return Task("sort", f">>> sort {' '.join(fields.digits)} {fields.direction}", fields)

"""reverse: `>>> rev k t a` -> `a t k`."""

import random
import re
from string import ascii_lowercase
from typing import NamedTuple

from runtime.tasks.base import Task, Verdict, pick_wrong, share_in_place, share_of, verdict

_PROMPT = re.compile(r">>> rev ([a-z](?: [a-z]){1,3})")


class Reverse(NamedTuple):
    """Two to four different letters."""

    letters: tuple[str, ...]


def draw(rng: random.Random) -> Task[Reverse]:
    """Two, three and four letters equally often."""
    return _task(Reverse(tuple(rng.sample(ascii_lowercase, rng.randint(2, 4)))))


def parse(prompt: str) -> Task[Reverse] | None:
    """The inverse of `draw`'s prompt."""
    match = _PROMPT.fullmatch(prompt)
    if match is None:
        return None
    letters = tuple(match[1].split(" "))
    return _task(Reverse(letters)) if len(set(letters)) == len(letters) else None


def answer(task: Task[Reverse], rng: random.Random) -> str:
    """The letters from last to first."""
    return " ".join(reversed(task.fields.letters))


def mistake(task: Task[Reverse], rng: random.Random) -> str:
    """The letters as they were, one forgotten, one misread, one said twice, or two that changed places."""
    right = list(reversed(task.fields.letters))
    place = rng.randrange(len(right))
    neighbour = (place + 1) % len(right)
    swapped = list(right)
    swapped[place], swapped[neighbour] = right[neighbour], right[place]
    misread = [*right[:place], rng.choice(ascii_lowercase), *right[place + 1 :]]
    candidates = [
        task.fields.letters,
        right[:place] + right[place + 1 :],
        [*right[:place], right[place], *right[place:]],
        misread,
        swapped,
    ]
    return pick_wrong((" ".join(letters) for letters in candidates), lambda text: judge(task, text), rng)


def judge(task: Task[Reverse], response: str) -> Verdict:
    """Exactly these letters, in this order."""
    words = response.split()
    expected = list(reversed(task.fields.letters))
    return verdict(
        words,
        wanted=len(expected),
        right=share_in_place(words, expected),
        well_formed=share_of(words, lambda word: len(word) == 1 and word in ascii_lowercase),
    )


def _task(fields: Reverse) -> Task[Reverse]:
    return Task("reverse", f">>> rev {' '.join(fields.letters)}", fields)

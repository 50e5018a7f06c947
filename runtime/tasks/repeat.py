"""repeat: `say dog and red 3 times` -> `dog red dog red dog red`."""

import random
import re
from typing import NamedTuple

from runtime.tasks.base import Task, Verdict, pick_wrong, share_in_place, share_of, verdict
from runtime.tasks.words import KIND_OF, THINGS

_PROMPT = re.compile(r"say ([a-z]+) and ([a-z]+) ([2345]) times")


class Repeat(NamedTuple):
    """Two different things, and how often to say them."""

    first: str
    second: str
    times: int


def draw(rng: random.Random) -> Task[Repeat]:
    """Any two things, two to five times."""
    first, second = rng.sample(THINGS, 2)
    return _task(Repeat(first, second, rng.randint(2, 5)))


def parse(prompt: str) -> Task[Repeat] | None:
    """The inverse of `draw`'s prompt."""
    match = _PROMPT.fullmatch(prompt)
    if match is None:
        return None
    first, second, times = match.groups()
    if first == second or first not in KIND_OF or second not in KIND_OF:
        return None
    return _task(Repeat(first, second, int(times)))


def answer(task: Task[Repeat], rng: random.Random) -> str:
    """Both, in turn."""
    return " ".join(_expected(task.fields))


def mistake(task: Task[Repeat], rng: random.Random) -> str:
    """Once too often or too seldom, the wrong one first, one after the other, or another word among them."""
    fields = task.fields
    right = _expected(fields)
    place = rng.randrange(len(right))
    candidates = [
        _expected(fields._replace(times=fields.times + 1)),
        _expected(fields._replace(times=fields.times - 1)),
        _expected(Repeat(fields.second, fields.first, fields.times)),
        [fields.first] * fields.times + [fields.second] * fields.times,
        right[:-1],
        [*right[:place], rng.choice(THINGS), *right[place + 1 :]],
    ]
    return pick_wrong((" ".join(words) for words in candidates), lambda text: judge(task, text), rng)


def judge(task: Task[Repeat], response: str) -> Verdict:
    """Exactly these words, so many times."""
    words = response.split()
    expected = _expected(task.fields)
    return verdict(
        words,
        wanted=len(expected),
        right=share_in_place(words, expected),
        well_formed=share_of(words, lambda word: word in task.fields[:2]),
    )


def _expected(fields: Repeat) -> list[str]:
    return [fields.first, fields.second] * fields.times


def _task(fields: Repeat) -> Task[Repeat]:
    return Task("repeat", f"say {fields.first} and {fields.second} {fields.times} times", fields)

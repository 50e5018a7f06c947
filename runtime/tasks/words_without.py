"""words_without: `write 3 words without a and e in capitals`, `write 1 word starting with p without l and r`."""

import random
import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from runtime.tasks.base import Task, Verdict, pick_wrong, share_of, verdict
from runtime.tasks.words import KIND_OF, THINGS, in_case, plural

_LETTERS = "abcdefghiklmnoprstuw"
"""Letters that may be forbidden: those that matter to several things."""
_STARTS = "bcfglps"
"""First letters that a prompt may ask for: those with several things."""
_PROMPT = re.compile(
    rf"write ([123]) (words?)(?: starting with ([{_STARTS}]))?"
    rf" without ([{_LETTERS}]) and ([{_LETTERS}])( in capitals)?"
)


class WordsWithout(NamedTuple):
    """So many words out of the known things, and what they must not have."""

    number: int
    start: str | None
    without: str
    """Two letters, in alphabetical order."""
    capitals: bool


def draw(rng: random.Random) -> Task[WordsWithout]:
    """One to three words; a first letter half of the time, capitals a quarter."""
    while True:
        without = "".join(sorted(rng.sample(_LETTERS, 2)))
        start = rng.choice(_STARTS) if rng.random() < 0.5 else None
        fields = WordsWithout(rng.randint(1, 3), start, without, rng.random() < 0.25)
        if _can_be_answered(fields):
            return _task(fields)


def parse(prompt: str) -> Task[WordsWithout] | None:
    """The inverse of `draw`'s prompt."""
    match = _PROMPT.fullmatch(prompt)
    if match is None:
        return None
    count, noun, start, first, second, capitals = match.groups()
    fields = WordsWithout(int(count), start, first + second, capitals is not None)
    well_written = noun == plural("word", fields.number) and first < second
    return _task(fields) if well_written and _can_be_answered(fields) else None


def answer(task: Task[WordsWithout], rng: random.Random) -> str:
    """Any words that fit."""
    return " ".join(_right_words(task.fields, rng))


def mistake(task: Task[WordsWithout], rng: random.Random) -> str:
    """One too few or too many, a forbidden letter, the wrong start, the same word twice, or the wrong case."""
    fields = task.fields
    right = _right_words(fields, rng)
    place = rng.randrange(len(right))

    def instead(word: str) -> list[str]:
        return [*right[:place], in_case(word, fields.capitals), *right[place + 1 :]]

    candidates = [
        right[:place] + right[place + 1 :],
        [*right, in_case(rng.choice(THINGS), fields.capitals)],
        instead(rng.choice([word for word in THINGS if set(word) & set(fields.without)])),
        instead(rng.choice(THINGS)),
        instead(right[place - 1].lower()),
        [word.swapcase() for word in right],
    ]
    return pick_wrong((" ".join(words) for words in candidates), lambda text: judge(task, text), rng)


def judge(task: Task[WordsWithout], response: str) -> Verdict:
    """So many different words out of the known things, each of them as asked, and nothing else."""
    words = response.split()
    return verdict(
        words,
        wanted=task.fields.number,
        right=_count_right(task.fields, words) / max(task.fields.number, len(words)),
        well_formed=share_of(words, lambda word: word.lower() in KIND_OF),
    )


@cache
def _allowed(start: str | None, without: str) -> tuple[str, ...]:
    forbidden = set(without)
    return tuple(word for word in THINGS if word.startswith(start or "") and not forbidden & set(word))


def _can_be_answered(fields: WordsWithout) -> bool:
    return len(_allowed(fields.start, fields.without)) >= fields.number


def _right_words(fields: WordsWithout, rng: random.Random) -> list[str]:
    words = rng.sample(_allowed(fields.start, fields.without), fields.number)
    return [in_case(word, fields.capitals) for word in words]


def _count_right(fields: WordsWithout, words: Sequence[str]) -> int:
    """How many different words are as asked; no more than were asked for."""
    allowed = {in_case(word, fields.capitals) for word in _allowed(fields.start, fields.without)}
    return min(len(allowed & set(words)), fields.number)


def _task(fields: WordsWithout) -> Task[WordsWithout]:
    prompt = f"write {fields.number} {plural('word', fields.number)}"
    prompt += f" starting with {fields.start}" if fields.start else ""
    prompt += f" without {fields.without[0]} and {fields.without[1]}"
    prompt += " in capitals" if fields.capitals else ""
    return Task("words_without", prompt, fields)

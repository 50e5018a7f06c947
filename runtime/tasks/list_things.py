"""list_things: `list 2 animals and 1 color without r in capitals` -> `DOG CAT BLUE` (or other right answers)."""

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from runtime.tasks.base import Task, Verdict, pick_wrong, share_of, verdict
from runtime.tasks.words import KIND_OF, KINDS, THINGS, in_case, plural

_LETTERS = "abcdefghiklmnoprstuw"
"""Letters that may be forbidden: those that matter to several things."""
_PROMPT = re.compile(rf"list ([123]) ([a-z]+) and ([12]) ([a-z]+)(?: without ([{_LETTERS}]))?( in capitals)?")


class ListThings(NamedTuple):
    """How many things of two different kinds."""

    first_count: int
    first: str
    second_count: int
    second: str
    without: str | None
    """A letter that no thing may have."""
    capitals: bool


def draw(rng: random.Random) -> Task[ListThings]:
    """Up to three of the first kind and two of the second; mostly a forbidden letter, a quarter in capitals."""
    while True:
        first, second = rng.sample(tuple(KINDS), 2)
        without = rng.choice(_LETTERS) if rng.random() < 0.9 else None
        fields = ListThings(rng.randint(1, 3), first, rng.randint(1, 2), second, without, rng.random() < 0.25)
        if _can_be_answered(fields):
            return _task(fields)


def parse(prompt: str) -> Task[ListThings] | None:
    """The inverse of `draw`'s prompt."""
    match = _PROMPT.fullmatch(prompt)
    if match is None:
        return None
    first_count, first, second_count, second, without, capitals = match.groups()
    kinds = [_KIND_OF_NOUN.get((noun, count == "1")) for noun, count in ((first, first_count), (second, second_count))]
    if kinds[0] is None or kinds[1] is None or kinds[0] == kinds[1]:
        return None
    fields = ListThings(int(first_count), kinds[0], int(second_count), kinds[1], without, capitals is not None)
    return _task(fields) if _can_be_answered(fields) else None


def answer(task: Task[ListThings], rng: random.Random) -> str:
    """Things of the first kind, then of the second, at random."""
    return " ".join(_right_words(task.fields, rng))


def mistake(task: Task[ListThings], rng: random.Random) -> str:
    """One too few or too many, a forbidden letter, another kind, the same thing twice, or the wrong case."""
    fields = task.fields
    right = _right_words(fields, rng)
    place = rng.randrange(len(right))

    def instead(word: str) -> list[str]:
        return [*right[:place], in_case(word, fields.capitals), *right[place + 1 :]]

    other_kinds = [word for word in THINGS if KIND_OF[word] not in (fields.first, fields.second)]
    forbidden = [word for word in KINDS[fields.first] if fields.without and fields.without in word]
    candidates = [
        right[:place] + right[place + 1 :],
        [*right, in_case(rng.choice(KINDS[fields.second]), fields.capitals)],
        instead(rng.choice(other_kinds)),
        instead(rng.choice(forbidden or other_kinds)),
        instead(right[place - 1].lower()),
        [word.swapcase() for word in right],
    ]
    return pick_wrong((" ".join(words) for words in candidates), lambda text: judge(task, text), rng)


def judge(task: Task[ListThings], response: str) -> Verdict:
    """So many different things of either kind, in any order, and nothing else."""
    words = response.split()
    wanted = task.fields.first_count + task.fields.second_count
    return verdict(
        words,
        wanted=wanted,
        right=_count_right(task.fields, words) / max(wanted, len(words)),
        well_formed=share_of(words, lambda word: word.lower() in KIND_OF),
    )


_KIND_OF_NOUN = {(plural(kind, count), count == 1): kind for kind in KINDS for count in (1, 2)}


def _allowed(kind: str, without: str | None) -> list[str]:
    return [word for word in KINDS[kind] if without is None or without not in word]


def _can_be_answered(fields: ListThings) -> bool:
    return (
        len(_allowed(fields.first, fields.without)) >= fields.first_count
        and len(_allowed(fields.second, fields.without)) >= fields.second_count
    )


def _right_words(fields: ListThings, rng: random.Random) -> list[str]:
    words = rng.sample(_allowed(fields.first, fields.without), fields.first_count)
    words += rng.sample(_allowed(fields.second, fields.without), fields.second_count)
    return [in_case(word, fields.capitals) for word in words]


def _count_right(fields: ListThings, words: Sequence[str]) -> int:
    """How many words are things that were asked for and had not been said yet."""
    missing = {fields.first: fields.first_count, fields.second: fields.second_count}
    said: set[str] = set()
    for word in words:
        thing = word.lower()
        kind = KIND_OF.get(thing, "")
        fits = word == in_case(thing, fields.capitals) and (fields.without is None or fields.without not in thing)
        if fits and missing.get(kind, 0) > 0 and thing not in said:
            missing[kind] -= 1
            said.add(thing)
    return len(said)


def _task(fields: ListThings) -> Task[ListThings]:
    first, second = plural(fields.first, fields.first_count), plural(fields.second, fields.second_count)
    prompt = f"list {fields.first_count} {first} and {fields.second_count} {second}"
    prompt += f" without {fields.without}" if fields.without else ""
    prompt += " in capitals" if fields.capitals else ""
    return Task("list_things", prompt, fields)

"""word_problem: `Tom has 8 apples and gets 5 more. How many?` -> `8+5=13`."""

import random
import re
from typing import NamedTuple

from runtime.tasks.base import Task, Verdict, pick_wrong, share_in_place, share_of, verdict
from runtime.tasks.words import KINDS, NAMES

_OBJECTS = KINDS["fruit"]
_MOST_OWNED, _MOST_MOVED = 9, 9
_PROMPT = re.compile(
    rf"({'|'.join(NAMES)}) has ([2-9]) ({'|'.join(_OBJECTS)}) and (?:gets ([1-9]) more|gives ([1-9]) away)\. "
    r"How many\?"
)
_PIECE = re.compile(r"[0-9]+|[^0-9\s]")
_FORM = re.compile(r"[0-9]+|[-+=]")


class WordProblem(NamedTuple):
    """One step of arithmetic; what is left is never negative."""

    name: str
    owned: int
    objects: str
    sign: str
    moved: int


def draw(rng: random.Random) -> Task[WordProblem]:
    """Adding and taking away equally often."""
    owned = rng.randint(2, _MOST_OWNED)
    sign = rng.choice("+-")
    most = _MOST_MOVED if sign == "+" else min(owned, _MOST_MOVED)
    return _task(WordProblem(rng.choice(NAMES), owned, rng.choice(_OBJECTS), sign, rng.randint(1, most)))


def parse(prompt: str) -> Task[WordProblem] | None:
    """The inverse of `draw`'s prompt."""
    match = _PROMPT.fullmatch(prompt)
    if match is None:
        return None
    name, owned, objects, gained, given = match.groups()
    fields = WordProblem(name, int(owned), objects, "+" if gained else "-", int(gained or given))
    return _task(fields) if _result(fields) >= 0 else None


def answer(task: Task[WordProblem], rng: random.Random) -> str:
    """The sum, written out."""
    return "".join(_expected(task.fields))


def mistake(task: Task[WordProblem], rng: random.Random) -> str:
    """Miscounted by one or by ten, the other operation, a number misread, or the sum left unfinished."""
    fields = task.fields
    left = f"{fields.owned}{fields.sign}{fields.moved}"
    result = _result(fields)
    other = fields._replace(sign="-" if fields.sign == "+" else "+")
    misread = fields._replace(moved=fields.moved % _MOST_MOVED + 1)
    candidates = [
        f"{left}={result + 1}",
        f"{left}={abs(result - 1)}",
        f"{left}={result + 10}",
        *("".join(_expected(wrong)) for wrong in (other, misread) if _result(wrong) >= 0),
        left,
    ]
    return pick_wrong(candidates, lambda text: judge(task, text), rng)


def judge(task: Task[WordProblem], response: str) -> Verdict:
    """Exactly the sum, without spaces."""
    pieces = _PIECE.findall(response)
    expected = _expected(task.fields)
    right = share_in_place(pieces, expected)
    written_apart = response.strip() != "".join(pieces)
    return verdict(
        pieces,
        wanted=len(expected),
        right=min(right, 0.9) if written_apart else right,
        well_formed=share_of(pieces, lambda piece: _FORM.fullmatch(piece) is not None),
    )


def _result(fields: WordProblem) -> int:
    return fields.owned + fields.moved if fields.sign == "+" else fields.owned - fields.moved


def _expected(fields: WordProblem) -> list[str]:
    return [str(fields.owned), fields.sign, str(fields.moved), "=", str(_result(fields))]


def _task(fields: WordProblem) -> Task[WordProblem]:
    happens = f"gets {fields.moved} more" if fields.sign == "+" else f"gives {fields.moved} away"
    prompt = f"{fields.name} has {fields.owned} {fields.objects} and {happens}. How many?"
    return Task("word_problem", prompt, fields)

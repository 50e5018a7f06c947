"""llm: a model compares the answers to one prompt two by two, each pair twice with the order swapped."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, Literal, NamedTuple

from compiler.artifacts import ResponseRow, ScoreRow
from compiler.schema.judges import LLMJudge
from runtime.asking import Asker, Question, Rejected, question
from runtime.clients.open import open_model
from runtime.context import Context
from runtime.intervals import wilson
from runtime.judged import Opinion, by_prompt, in_words

UNREADABLE = "no verdict in the last line"

Place = Literal["first", "second", "neither"]
_VERDICT = re.compile(r"^\W*Better\W*\s(first|second|neither)\b", re.IGNORECASE | re.MULTILINE)
_SWAPPED: dict[Place, Place] = {"first": "second", "second": "first", "neither": "neither"}


class Comparison(NamedTuple):
    """Two different answers to one prompt."""

    one: ResponseRow
    other: ResponseRow


class Found(NamedTuple):
    """What the judge said of a comparison, with `one` first and with `other` first."""

    forward: Place | Rejected
    backward: Place | Rejected

    @property
    def winner(self) -> Place | None:
        """`first` for `one`; None where the two verdicts do not agree or one is missing."""
        if isinstance(self.forward, Rejected) or isinstance(self.backward, Rejected):
            return None
        return self.forward if self.forward == _SWAPPED[self.backward] else None


def judge(spec: LLMJudge, rows: Sequence[ResponseRow], ctx: Context) -> Opinion:
    """An answer's score is the share of its comparisons that it won, a tie being half a win; None where none counts."""
    compared = list(comparisons(rows))
    with open_model(spec.model, ctx) as model:
        answers = iter(Asker(model, spec.sampling, 0).ask(questions(spec.rubric, compared), "comparisons"))
        found = [Found(place(first), place(second)) for first, second in zip(answers, answers, strict=True)]
    scores = shares_won(rows, compared, [verdicts.winner for verdicts in found])
    return Opinion(scores, {"comparisons": statistics(compared, found)})


def shares_won(
    rows: Sequence[ResponseRow], compared: Sequence[Comparison], winners: Sequence[Place | None]
) -> list[ScoreRow]:
    """The score of each answer: the share that it won of the comparisons that somebody or neither won."""
    won: dict[str, list[float]] = {}
    for (one, other), winner in zip(compared, winners, strict=True):
        if winner is not None:
            share = {"first": 1.0, "second": 0.0, "neither": 0.5}[winner]
            won.setdefault(one.id, []).append(share)
            won.setdefault(other.id, []).append(1 - share)
    return [ScoreRow(response_id=row.id, score=_mean(won.get(row.id, []))) for row in rows]


def comparisons(rows: Sequence[ResponseRow]) -> Iterator[Comparison]:
    """Every two answers to one prompt that differ."""
    for answers in by_prompt(rows).values():
        yield from (Comparison(one, other) for one, other in combinations(answers, 2) if one.response != other.response)


def place(said: str | Rejected) -> Place | Rejected:
    """The last verdict in what the judge said."""
    if isinstance(said, Rejected):
        return said
    found = _VERDICT.findall(said)
    return found[-1].lower() if found else Rejected(UNREADABLE)


def statistics(compared: Sequence[Comparison], found: Sequence[Found]) -> dict[str, Any]:
    """How consistent the judge is, and how fond of what stands first (0.5 is not at all), with 95 % intervals."""
    told = [verdict for one in found for verdict in one]
    readable = [one for one in found if not any(isinstance(verdict, Rejected) for verdict in one)]
    consistent = [one for one in readable if one.winner is not None]
    decided = [verdict for one in readable for verdict in one if verdict != "neither"]
    families: dict[str, list[bool]] = {}
    for (one, _), verdicts in zip(compared, found, strict=True):
        if not any(isinstance(verdict, Rejected) for verdict in verdicts):
            families.setdefault(one.family, []).append(verdicts.winner is not None)
    return {
        "pairs": len(found),
        "both_readable": len(readable),
        "consistent": _share(len(consistent), len(readable)),
        "ties": sum(one.winner == "neither" for one in consistent),
        "first_place": _share(sum(verdict == "first" for verdict in decided), len(decided)),
        "consistent_by_family": {name: _share(sum(hits), len(hits)) for name, hits in sorted(families.items())},
        "rejected": dict(sorted(Counter(one.reason for one in told if isinstance(one, Rejected)).items())),
    }


def questions(rubric: str, compared: Sequence[Comparison]) -> Iterator[Question]:
    """Of each comparison with `one` first, then with `other` first."""
    template = f"prompts/judge_{rubric}.j2"
    for one, other in compared:
        asked = in_words(one.messages)
        for name, first, second in (("forward", one, other), ("backward", other, one)):
            values = {"question": asked, "first": first.response, "second": second.response}
            yield question(f"{one.id}~{other.id}-{name}", template, **values)


def _mean(shares: Sequence[float]) -> float | None:
    return sum(shares) / len(shares) if shares else None


def _share(count: int, of: int) -> dict[str, float | int] | None:
    if not of:
        return None
    low, share, high = wilson(count, of)
    return {"share": share, "low": low, "high": high, "of": of}

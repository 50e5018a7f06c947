"""Answers before and after: for a few held-out prompts of each family, what every row of the ladder said."""

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.ladder import DECODINGS, GREEDY, Answered, Evaluation, Question

PER_FAMILY = 4
_LONGEST = 600
_GAINED, _LOST, _RIGHT, _WRONG = "gained", "lost", "right in both", "wrong in both"
_BETWEEN = {(False, True): _GAINED, (True, False): _LOST, (True, True): _RIGHT, (False, False): _WRONG}
_UNCHECKED = "no program can tell"
_ORDER = (_GAINED, _LOST, _RIGHT, _WRONG, _UNCHECKED)


def samples(rows: Mapping[str, Sequence[Evaluation]]) -> list[dict[str, Any]]:
    """One entry for each family, at the first point of a sweep: how many gained and lost, and the prompts shown.

    A rule chooses, not a person: between first and last row a prompt's greedy answer gained, was lost, or stayed right
    or wrong, or no program can tell; of each kind the prompt with the least id is shown, then the next, until there are
    enough.
    """
    if not rows:
        return []
    by_row = {title: {question.id: question for question in ones[0].questions} for title, ones in rows.items()}
    first, *_, last = [*by_row.values()] * 2
    changes: dict[str, dict[str, list[str]]] = {}
    for prompt in sorted(first.keys() & last.keys()):
        before, after = (question[prompt].answers[GREEDY].passed for question in (first, last))
        change = _UNCHECKED if before is None or after is None else _BETWEEN[before, after]
        changes.setdefault(first[prompt].family, {name: [] for name in _ORDER})[change].append(prompt)
    return [
        {
            "family": family,
            "counts": {change: len(prompts) for change, prompts in found.items() if prompts or change != _UNCHECKED},
            "prompts": [_shown(prompt, change, by_row) for change, prompt in choose(found)],
        }
        for family, found in sorted(changes.items())
    ]


def choose(by_change: Mapping[str, Sequence[str]], count: int = PER_FAMILY) -> list[tuple[str, str]]:
    """(change, prompt): one of each kind of change in turn, while there are any; listed kind by kind."""
    turns = max((len(prompts) for prompts in by_change.values()), default=0)
    dealt = [
        (change, prompts[turn]) for turn in range(min(turns, count)) for change, prompts in by_change.items()
        if turn < len(prompts)
    ]  # fmt: skip
    kinds = list(by_change)
    return sorted(dealt[:count], key=lambda one: kinds.index(one[0]))


def _shown(prompt: str, change: str, by_row: Mapping[str, Mapping[str, Question]]) -> dict[str, Any]:
    asked = {title: questions.get(prompt) for title, questions in by_row.items()}
    words = next(question.prompt for question in asked.values() if question is not None)
    return {
        "id": prompt,
        "prompt": _cut(words),
        "change": change,
        "answers": {
            title: {name: _answer(question.answers[name]) for name in DECODINGS} if question else None
            for title, question in asked.items()
        },
    }


def _answer(found: Answered) -> dict[str, Any]:
    return {"response": _cut(found.response), "passed": found.passed, "finished": found.finished}


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"

"""Responses beside what judges said of them, prompt by prompt; how judges agree."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from compiler.artifacts import Message, ResponseRow, ScoreRow
from runtime.intervals import wilson
from runtime.rows import read_rows


@dataclass(frozen=True)
class Opinion:
    """What one judge says."""

    scores: Sequence[ScoreRow]
    """One for each response, in order."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What it tells of its own judging."""


@dataclass(frozen=True)
class Judged:
    """One response and its scores."""

    row: ResponseRow
    scores: Mapping[str, float | None]
    """Name of the score -> value; None where that judge is silent."""


def read_judged(responses: Path, scores: Mapping[str, Path]) -> list[tuple[Judged, ...]]:
    """The responses of each prompt, prompts in the order in which they first appear."""
    by_name = {name: _scores(folder) for name, folder in sorted(scores.items())}
    prompts: dict[str, list[Judged]] = {}
    for row in read_rows(responses, ResponseRow):
        judged = Judged(row, {name: _score(found, name, row.id) for name, found in by_name.items()})
        prompts.setdefault(row.prompt_id, []).append(judged)
    return [tuple(group) for group in prompts.values()]


def sample_index(row: ResponseRow) -> int:
    """Which of the prompt's samples this is."""
    return int(row.id.rpartition("-")[2])


def by_prompt(rows: Iterable[ResponseRow]) -> dict[str, list[ResponseRow]]:
    """The responses to each prompt, in order."""
    found: dict[str, list[ResponseRow]] = {}
    for row in rows:
        found.setdefault(row.prompt_id, []).append(row)
    return found


def in_words(messages: Sequence[Message]) -> str:
    """A conversation as a judge is shown it: its only turn, or all turns with who speaks."""
    if len(messages) == 1:
        return messages[0].content
    return "\n\n".join(f"{message.role.capitalize()}: {message.content}" for message in messages)


def agreement(prompts: Iterable[Sequence[Judged]]) -> dict[str, dict[str, float | int]]:
    """`one, other` -> over all pairs of responses to one prompt that both judges tell apart: the share that they put in
    the same order, with its 95 % interval. Half is what two judges have in common that know nothing of each other."""
    same: dict[str, list[bool]] = {}
    for judged in prompts:
        for left, right in combinations(judged, 2):
            gaps = {name: _gap(left.scores[name], right.scores[name]) for name in sorted(left.scores)}
            for (one, a), (other, b) in combinations(gaps.items(), 2):
                if a and b:
                    same.setdefault(f"{one}, {other}", []).append(a * b > 0)
    found = {}
    for names, hits in sorted(same.items()):
        low, share, high = wilson(sum(hits), len(hits))
        found[names] = {"share": share, "low": low, "high": high, "pairs": len(hits)}
    return found


def _gap(one: float | None, other: float | None) -> float:
    return 0.0 if one is None or other is None else one - other


def _scores(folder: Path) -> dict[str, float | None]:
    return {row.response_id: row.score for row in read_rows(folder, ScoreRow)}


def _score(scores: Mapping[str, float | None], name: str, response_id: str) -> float | None:
    if response_id not in scores:
        raise ValueError(f"scores {name} are of other responses: they lack {response_id}")
    return scores[response_id]

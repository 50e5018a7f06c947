"""Responses beside what judges said of them, prompt by prompt."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from compiler.artifacts import ResponseRow, ScoreRow
from runtime.rows import read_rows


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


def _scores(folder: Path) -> dict[str, float | None]:
    return {row.response_id: row.score for row in read_rows(folder, ScoreRow)}


def _score(scores: Mapping[str, float | None], name: str, response_id: str) -> float | None:
    if response_id not in scores:
        raise ValueError(f"scores {name} are of other responses: they lack {response_id}")
    return scores[response_id]

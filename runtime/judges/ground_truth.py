"""ground_truth: the verifier that the prompt carries, or its task family's own."""

from collections.abc import Sequence

from compiler.artifacts import ResponseRow, ScoreRow
from compiler.schema.judges import GroundTruth
from runtime import truth
from runtime.context import Context
from runtime.judged import Opinion
from runtime.shares import Batches

_ROWS = 1000
"""Checked between two lines of the ledger."""


def judge(spec: GroundTruth, rows: Sequence[ResponseRow], ctx: Context) -> Opinion:
    """Score 1 for a correct response and 0 for any other; attributes as computed from the text. A share raises
    ShareDoneError."""
    numbers = range(len(rows))
    batches = Batches(ctx, "scores", [numbers[first : first + _ROWS] for first in numbers[::_ROWS]])
    batches.compute(lambda batch: [score(rows[row]).model_dump(mode="json") for row in batch])
    found = batches.results()
    return Opinion([ScoreRow.model_validate(found[row]) for row in numbers])


def score(row: ResponseRow) -> ScoreRow:
    """What can be checked; no score where nothing can."""
    try:
        verdict = truth.verdict(row.family, row.messages, row.check, row.response)
    except ValueError as error:
        raise ValueError(f"response {row.id}: {error}") from error
    if verdict is None:
        return ScoreRow(response_id=row.id, score=None)
    return ScoreRow(response_id=row.id, score=float(verdict.passed), attributes=dict(verdict.attributes))

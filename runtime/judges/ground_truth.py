"""ground_truth: the verifier that the prompt carries, or its task family's own."""

from collections.abc import Sequence

from compiler.artifacts import ResponseRow, ScoreRow
from compiler.schema.judges import GroundTruth
from runtime import truth
from runtime.context import Context


def judge(spec: GroundTruth, rows: Sequence[ResponseRow], ctx: Context) -> list[ScoreRow]:
    """Score 1 for a correct response and 0 for any other; attributes as computed from the text."""
    return [score(row) for row in rows]


def score(row: ResponseRow) -> ScoreRow:
    """What can be checked; no score where nothing can."""
    try:
        verdict = truth.verdict(row.family, row.messages, row.check, row.response)
    except ValueError as error:
        raise ValueError(f"response {row.id}: {error}") from error
    if verdict is None:
        return ScoreRow(response_id=row.id, score=None)
    return ScoreRow(response_id=row.id, score=float(verdict.passed), attributes=dict(verdict.attributes))

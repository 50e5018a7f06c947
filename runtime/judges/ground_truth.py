"""ground_truth: the task family's own verifier."""

from collections.abc import Sequence

from compiler.artifacts import ResponseRow, ScoreRow
from compiler.schema.judges import GroundTruth
from runtime.context import Context
from runtime.tasks import find


def judge(spec: GroundTruth, rows: Sequence[ResponseRow], ctx: Context) -> list[ScoreRow]:
    """Score 1 for a correct response and 0 for any other; attributes as computed from the text."""
    return [score(row) for row in rows]


def score(row: ResponseRow) -> ScoreRow:
    """What the verifier of the row's family says."""
    family = find(row.family)
    task = family.parse(row.messages[-1].content)
    if task is None:
        raise ValueError(f"response {row.id} answers no {row.family} prompt: {row.messages[-1].content!r}")
    verdict = family.judge(task, row.response)
    return ScoreRow(response_id=row.id, score=float(verdict.passed), attributes=dict(verdict.attributes))

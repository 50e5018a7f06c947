"""llm_grade: a model grades each answer by itself."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from compiler.artifacts import ResponseRow, ScoreRow
from compiler.schema.judges import LLMGrade
from runtime.asking import Asker, Question, Rejected, question
from runtime.clients.open import open_model
from runtime.context import Context
from runtime.judged import Opinion, in_words

UNREADABLE, OUT_OF_RANGE = "no grade in the last line", "grade out of range"
_GRADE = re.compile(r"^\W*Grade\W*\s?\[*(\d+(?:\.\d+)?)", re.IGNORECASE | re.MULTILINE)


def judge(spec: LLMGrade, rows: Sequence[ResponseRow], ctx: Context) -> Opinion:
    """The score is the grade; None where the model gives none."""
    with open_model(spec.model, ctx) as model:
        said = Asker(model, spec.sampling, 0).ask(_questions(spec, rows), "grades")
        grades = [grade(one, spec.highest) for one in said]
    rejected = Counter(one.reason for one in grades if isinstance(one, Rejected))
    given = Counter(f"{one:g}" for one in grades if not isinstance(one, Rejected))
    scores = [
        ScoreRow(response_id=row.id, score=None if isinstance(one, Rejected) else one)
        for row, one in zip(rows, grades, strict=True)
    ]
    facts = {"grades": dict(sorted(given.items())), "rejected": dict(sorted(rejected.items()))}
    return Opinion(scores, {"grading": facts})


def grade(said: str | Rejected, highest: int) -> float | Rejected:
    """The last grade in what the judge said."""
    if isinstance(said, Rejected):
        return said
    found = _GRADE.findall(said)
    if not found:
        return Rejected(UNREADABLE)
    return float(found[-1]) if 1 <= float(found[-1]) <= highest else Rejected(OUT_OF_RANGE)


def _questions(spec: LLMGrade, rows: Sequence[ResponseRow]) -> Iterator[Question]:
    for row in rows:
        known = (row.check or {}).get("answer", "") if spec.show_reference else ""
        values = {"question": in_words(row.messages), "answer": row.response, "reference": known}
        yield question(row.id, f"prompts/grade_{spec.rubric}.j2", highest=spec.highest, **values)

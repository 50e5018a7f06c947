"""report: the ladder, stage by stage, as HTML and JSON."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from compiler.artifacts import Kind
from compiler.render import template_names
from compiler.schema.base import Record
from compiler.stages.base import EvaluationRef, ExaminationRef, Stage


class Claim(Record):
    """A comparison that the report tests on the pooled held-out prompts of both rows."""

    better: str
    """A row that should be higher,"""
    worse: str
    """than this row, by more than the 95 % interval of the paired difference."""
    decoding: Literal["greedy", "sampled"]
    """Which of the two accuracies is compared."""


class Report(Stage):
    """One row for each evaluation, in this order; in a sweep a row gathers its evaluations over all points. A report
    may also be of examinations of judges alone."""

    output: ClassVar[Kind] = Kind.REPORT

    kind: Literal["report"]
    title: str
    """Heads the report."""
    rows: dict[str, EvaluationRef | tuple[EvaluationRef, ...]] = Field(default_factory=dict)
    """Row title -> evaluation (all points of a sweep are filled in by the compiler)."""
    judges: dict[str, ExaminationRef | tuple[ExaminationRef, ...]] = Field(default_factory=dict)
    """Name of a judge -> its examination (all points of a sweep are filled in by the compiler)."""
    claims: tuple[Claim, ...] = ()
    """Comparisons that the report tests."""

    @model_validator(mode="after")
    def _says_something(self) -> "Report":
        if not self.rows and not self.judges:
            raise ValueError("a report needs `rows` (evaluations of policies) or `judges` (examinations of judges)")
        return self

    def templates(self) -> tuple[str, ...]:
        """The page's words and looks: a report is made again when they change."""
        return tuple(template_names("reports"))

"""report: the ladder, stage by stage, as HTML and JSON."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

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
    """One row for each evaluation, in this order; in a sweep a row gathers its evaluations over all points."""

    output: ClassVar[Kind] = Kind.REPORT

    kind: Literal["report"]
    title: str
    """Heads the report."""
    rows: Annotated[dict[str, EvaluationRef | tuple[EvaluationRef, ...]], Field(min_length=1)]
    """Row title -> evaluation (all points of a sweep are filled in by the compiler)."""
    judges: dict[str, ExaminationRef | tuple[ExaminationRef, ...]] = Field(default_factory=dict)
    """Name of a judge -> its examination (all points of a sweep are filled in by the compiler)."""
    claims: tuple[Claim, ...] = ()
    """Comparisons that the report tests."""

    def templates(self) -> tuple[str, ...]:
        """The page's words and looks: a report is made again when they change."""
        return tuple(template_names("reports"))

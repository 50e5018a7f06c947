"""examine: a judge is asked about pairs whose better answer people have named."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compiler.artifacts import Kind
from compiler.schema.base import Piece
from compiler.schema.judges import LLMGrade, LLMJudge, LLMLikelihood, RewardModelJudge
from compiler.stages.base import PreferencesRef, Stage


class Examine(Stage):
    """How often the judge likes the chosen answer better, by family, as RewardBench asks (arXiv 2403.13787)."""

    output: ClassVar[Kind] = Kind.EXAMINATION

    kind: Literal["examine"]
    judge: Annotated[
        Annotated[LLMJudge | LLMLikelihood | LLMGrade | RewardModelJudge, Field(discriminator="kind")], Piece("judges")
    ]
    """Who is examined. A reward model speaks on every family here, whatever its gate."""
    preferences: PreferencesRef
    """The labelled pairs; a row's family is the category that is told apart."""

    def templates(self) -> tuple[str, ...]:
        """What the judge says to models."""
        return self.judge.templates()

"""judge: score responses."""

from typing import Annotated, ClassVar, Literal

from compiler.artifacts import Kind
from compiler.schema.base import Piece
from compiler.schema.judges import Judge as JudgeSpec
from compiler.stages.base import ResponsesRef, Stage


class Judge(Stage):
    """One score for each response."""

    output: ClassVar[Kind] = Kind.SCORES

    kind: Literal["judge"]
    judge: Annotated[JudgeSpec, Piece("judges")]
    """Who says how good the answers are."""
    responses: ResponsesRef
    """The answers."""

    def templates(self) -> tuple[str, ...]:
        """What the judge says to models."""
        return self.judge.templates()

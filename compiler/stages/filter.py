"""filter: keep the good responses as dialogues to learn from."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compiler.artifacts import Kind
from compiler.schema.base import Count
from compiler.stages.base import ResponsesRef, ScoresRef, Stage


class Filter(Stage):
    """Keeps responses that reach the threshold of every named score: at most `per_prompt`, best first."""

    output: ClassVar[Kind] = Kind.DIALOGUES

    kind: Literal["filter"]
    responses: ResponsesRef
    """The answers."""
    scores: Annotated[dict[str, ScoresRef], Field(min_length=1)]
    """Name -> scores of these responses."""
    at_least: Annotated[dict[str, float], Field(min_length=1)]
    """Name of a score -> threshold; a silent judge (no score) does not reject."""
    per_prompt: Count
    """Answers kept of each prompt, at most."""

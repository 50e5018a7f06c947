"""pair: chosen and rejected answers out of judged responses."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compiler.artifacts import Kind
from compiler.schema.base import NonNegative, Seed
from compiler.stages.base import ResponsesRef, ScoresRef, Stage


class Pair(Stage):
    """For each prompt the best response against the worst (or a random worse one), both rewards kept for RPO."""

    output: ClassVar[Kind] = Kind.PREFERENCES

    kind: Literal["pair"]
    responses: ResponsesRef
    """The answers."""
    scores: Annotated[dict[str, ScoresRef], Field(min_length=1)]
    """Name -> scores of these responses."""
    reward: Annotated[dict[str, float], Field(min_length=1)]
    """Name of a score -> weight: the reward is the weighted sum (a silent judge adds nothing for the whole prompt)."""
    rejected: Literal["worst", "random"]
    """Which of the worse answers is paired with the best."""
    min_margin: NonNegative
    """Least difference of the two rewards."""
    chosen_at_least: dict[str, float]
    """Name of a score -> least value that a chosen response must have; {} for no filter."""
    seed: Seed
    """Of everything random in this stage."""

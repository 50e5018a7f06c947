"""mix: one set of dialogues out of several, in stated shares."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compiler.artifacts import Kind
from compiler.schema.base import Count, Positive, Seed
from compiler.stages.base import DialoguesRef, Stage


class Mix(Stage):
    """Draws `count` dialogues without repetition, from each source in proportion to its weight, then shuffles."""

    output: ClassVar[Kind] = Kind.DIALOGUES

    kind: Literal["mix"]
    data: Annotated[dict[DialoguesRef, Positive], Field(min_length=1)]
    """Source -> weight."""
    count: Count
    seed: Seed

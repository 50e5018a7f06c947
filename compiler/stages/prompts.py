"""prompts: make prompts with a generator, keeping only those that belong to the named parts of a split."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compiler.artifacts import Kind
from compiler.schema.base import Count, Piece, Seed
from compiler.schema.data import Split
from compiler.schema.generators import Generator
from compiler.stages.base import Stage


class Prompts(Stage):
    """Distinct prompts; each belongs to one of `parts` of the split, whoever generated it."""

    output: ClassVar[Kind] = Kind.PROMPTS
    version: ClassVar[int] = 2  # since then, instructions are added to those that a prompt carries

    kind: Literal["prompts"]
    generator: Annotated[Generator, Piece("generators")]
    """Who writes the prompts."""
    count: Count
    """Rows wanted, over all families."""
    split: Annotated[Split, Piece("splits")]
    """How all prompts are divided."""
    parts: Annotated[tuple[str, ...], Field(min_length=1)]
    """Parts of the split that are kept."""
    seed: Seed
    """Of everything random in this stage."""

    def templates(self) -> tuple[str, ...]:
        """What the generator says to models."""
        return tuple(self.generator.templates())

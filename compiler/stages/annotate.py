"""annotate: stand-ins for human annotators answer prompts, some of them wrongly."""

from typing import ClassVar, Literal

from compiler.artifacts import Kind
from compiler.schema.base import Rate, Seed
from compiler.stages.base import PromptsRef, Stage


class Annotate(Stage):
    """The task family's solver answers each prompt; a stated share of the answers carries a typical mistake."""

    output: ClassVar[Kind] = Kind.DIALOGUES

    kind: Literal["annotate"]
    prompts: PromptsRef
    """What is answered."""
    error_rate: Rate
    """Share of rows that get a wrong answer."""
    seed: Seed
    """Of everything random in this stage."""

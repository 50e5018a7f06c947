"""topics: what prompts are written about, gathered from hand-made lists, from models and from text."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compiler.artifacts import Kind
from compiler.schema.base import Count, Seed
from compiler.schema.topics import TopicSource
from compiler.stages.base import Stage


class Topics(Stage):
    """Distinct topics of all sources; more than `count` are drawn from at random, hand-made ones are all kept."""

    output: ClassVar[Kind] = Kind.TOPICS
    version: ClassVar[int] = 2  # since then, rows tell the broad topic above them and the list that they stood in

    kind: Literal["topics"]
    sources: Annotated[tuple[TopicSource, ...], Field(min_length=1)]
    """Where topics come from."""
    count: Count
    """At most."""
    seed: Seed
    """Of everything random in this stage."""

    def templates(self) -> tuple[str, ...]:
        """The prompts that ask a model for topics."""
        return tuple(name for source in self.sources for name in source.templates())

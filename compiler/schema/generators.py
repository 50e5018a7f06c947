"""Where prompts come from: one record per generator kind."""

from typing import Annotated, Literal

from pydantic import Field

from compiler.schema.base import Accepts, Count, Positive, Record

Family = Literal["reverse", "sort", "word_problem", "repeat", "list_things", "words_without"]
"""The checkable task families, `runtime/tasks/<family>.py`."""


Families = Annotated[dict[Family, Positive], Field(min_length=1)]
"""Families and their weights among each other (they need not sum to 1)."""


class Tasks(Record):
    """Prompts written by the task families themselves, from their hand-made word lists."""

    kind: Literal["tasks"]
    families: Families


class SelfPrompted(Record):
    """Synthetic prompts: a policy writes user turns by itself; what is no well-formed task is rejected and counted."""

    kind: Literal["self_prompted"]
    policy: Annotated[str, Accepts("policy")]
    families: Families
    """Families to keep; weights are shares of the prompts kept."""
    temperature: Positive
    max_attempts: Count
    """Prompts sampled at most, before the stage is content with fewer rows than asked for."""


Generator = Annotated[Tasks | SelfPrompted, Field(discriminator="kind")]

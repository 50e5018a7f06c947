"""What a `select` stage asks of each row: one record per condition."""

from typing import Annotated, Literal

from pydantic import Field

from compiler.schema.base import Record


class Length(Record):
    """Characters of all turns (or of the text) together."""

    kind: Literal["length"]
    at_least: Annotated[int, Field(ge=0)]
    """Fewest characters."""
    at_most: Annotated[int, Field(gt=0)]
    """Most characters."""


class Language(Record):
    """The language that the text is written in, recognised from its letters and words."""

    kind: Literal["language"]
    languages: Annotated[tuple[str, ...], Field(min_length=1)]
    """ISO 639-1 codes: en, de, ko, ..."""


class Flags(Record):
    """What the rows were marked with when they were adopted (`flags`): unsafe prompts, say."""

    kind: Literal["flags"]
    without: Annotated[tuple[str, ...], Field(min_length=1)]
    """A row that carries one of these is dropped."""


class Attributes(Record):
    """What people said of a rated answer."""

    kind: Literal["attributes"]
    at_least: Annotated[dict[str, float], Field(min_length=1)]
    """Attribute -> least value."""


Condition = Annotated[Length | Language | Flags | Attributes, Field(discriminator="kind")]

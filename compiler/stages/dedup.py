"""dedup: each row once, and none that an evaluation asks."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from compiler.schema.base import Count, Record, Share
from compiler.stages.base import PromptsRef, RowKind, RowsRef, Stage


class NearDuplicates(Record):
    """MinHash over word n-grams: of rows more alike than the threshold the first is kept."""

    ngram: Count
    """Words of one shingle."""
    num_perm: Annotated[int, Field(ge=16, le=1024)]
    """Permutations of the MinHash; more are more exact."""
    threshold: Share
    """Jaccard similarity of shingles from which two rows count as the same."""


class Decontamination(Record):
    """Rows that share a long n-gram of words with a prompt of an evaluation are dropped."""

    prompts: Annotated[tuple[PromptsRef, ...], Field(min_length=1)]
    """Prompts of evaluations."""
    ngram: Count
    """Words; 13 is usual."""


class Dedup(Stage):
    """What is dropped is counted: exact, near, contaminated."""

    output_field: ClassVar[str] = "rows"

    kind: Literal["dedup"]
    rows: RowKind
    """The artifact kind of what goes in and comes out."""
    data: RowsRef
    """What goes in."""
    exact: bool
    """Drop rows whose words are equal, letter case and white space aside."""
    near: NearDuplicates | None = None
    """Drop rows that are nearly equal, too."""
    against: Decontamination | None = None
    """Drop rows that an evaluation asks, too."""

    @model_validator(mode="after")
    def _does_something(self) -> "Dedup":
        if not self.exact and self.near is None and self.against is None:
            raise ValueError("drops nothing: say `exact: true`, or `near`, or `against`")
        return self

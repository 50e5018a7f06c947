"""mix: one set of rows out of several, in stated shares."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compiler.schema.base import Count, Positive, Seed
from compiler.stages.base import RowKind, RowsRef, Stage


class Mix(Stage):
    """Draws `count` rows without repetition, from each source in proportion to its weight, then shuffles."""

    output_field: ClassVar[str] = "rows"

    kind: Literal["mix"]
    rows: RowKind
    """What is mixed."""
    data: Annotated[dict[RowsRef, Positive], Field(min_length=1)]
    """Source -> weight."""
    count: Count
    """Rows wanted."""
    seed: Seed
    """Of everything random in this stage."""

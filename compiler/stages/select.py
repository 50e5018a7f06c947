"""select: the rows that meet every condition; the others are counted with the reason."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compiler.schema.conditions import Condition
from compiler.stages.base import RowKind, RowsRef, Stage


class Select(Stage):
    """Keeps what is neither too long, nor in another language, nor flagged, nor badly rated."""

    output_field: ClassVar[str] = "rows"

    kind: Literal["select"]
    rows: RowKind
    """The artifact kind of what goes in and comes out."""
    data: RowsRef
    """What goes in."""
    conditions: Annotated[tuple[Condition, ...], Field(min_length=1)]
    """Asked in this order; the first that fails is the reason that is counted."""

"""split: the rows whose prompts belong to some parts of a split."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compiler.schema.base import Piece
from compiler.schema.data import Split as SplitSpec
from compiler.stages.base import RowKind, RowsRef, Stage


class Split(Stage):
    """Keeps a row if its prompt's words put it into one of `parts`: what two stages with no part in common keep is
    disjoint, whatever their data was."""

    output_field: ClassVar[str] = "rows"

    kind: Literal["split"]
    rows: RowKind
    """The artifact kind of what goes in and comes out."""
    data: RowsRef
    """What goes in."""
    split: Annotated[SplitSpec, Piece("splits")]
    """How all prompts are divided."""
    parts: Annotated[tuple[str, ...], Field(min_length=1)]
    """Parts of the split that are kept."""

"""The validated top of a spec: pieces, params, and the pipeline's stages and loops, not yet unrolled."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

from compiler.manifest import Placement
from compiler.reading.tree import Place, Scalar, Table
from compiler.reading.variables import Values, has_variables
from compiler.schema.budget import Budget
from compiler.schema.data import Split
from compiler.schema.generators import Generator
from compiler.schema.judges import Judge
from compiler.schema.model import ModelSpec, Precision
from compiler.schema.training import Optimizer
from compiler.stages import Stage

LANGUAGE_VERSION = 1
MOST_ROUNDS = 1000

SECTIONS: Mapping[str, Any] = {
    "models": ModelSpec,
    "generators": Generator,
    "judges": Judge,
    "splits": Split,
    "optimizers": Optimizer,
    "precisions": Precision,
}
"""Section of named pieces -> what each piece is. Stage fields say which section they take by `Piece`."""


@dataclass(frozen=True)
class StageEntry:
    """A stage as it was written: variables, names of pieces and refs are still words."""

    name: str
    path: str
    at: Place
    """of its name"""
    tree: Table

    @cached_property
    def varies(self) -> bool:
        """Whether a variable stands anywhere in it."""
        return has_variables(self.tree)

    @property
    def kind(self) -> str:
        """The stage kind as written."""
        entry = self.tree.entries.get("kind")
        return entry.value.text if entry and isinstance(entry.value, Scalar) else ""


@dataclass(frozen=True)
class LoopEntry:
    """A loop as it was written."""

    name: str
    path: str
    at: Place
    repeat: Scalar | None
    """Number of rounds; a variable may stand here."""
    over: "tuple[Table, ...] | None"
    """The variables of each round."""
    carry: Mapping[str, Scalar]
    """Carried variable -> ref of its first value."""
    body: "tuple[PipelineEntry, ...]"
    yields: Mapping[str, Scalar]
    """Carried variable -> ref, in the body, of its next value."""


PipelineEntry: TypeAlias = StageEntry | LoopEntry


class Built(NamedTuple):
    """A stage of one round and point."""

    stage: Stage
    placement: Placement
    pin: str
    """The beginning of the fingerprint of the sealed artifact to use; empty where there is none."""
    tree: Table
    """What they were read from."""


@dataclass(frozen=True)
class Axis:
    """One param of a sweep and the values it takes."""

    param: str
    at: Place
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Budgeted:
    """The budget and where its lines stand."""

    budget: Budget
    tree: Table


@dataclass(frozen=True)
class Experiment:
    """What a spec says, checked: every stage is right for the values its variables take."""

    name: str
    file: str
    params: Values
    """`params.<name>` -> value."""
    sections: Mapping[str, Mapping[str, Table]]
    """Section -> name -> piece as written; models may still say `extends`."""
    pipeline: tuple[PipelineEntry, ...]
    matrix: tuple[Axis, ...]
    budget: "Budgeted | None"
    built: Mapping[str, Built]
    """Path -> the stage, its refs as written, where it is the same in every round and there is no sweep."""

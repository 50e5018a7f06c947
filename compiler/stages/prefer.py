"""prefer: preference training (DPO, IPO, RPO) on pairs, against a reference policy."""

from typing import Annotated, ClassVar, Literal

from compiler.artifacts import Kind
from compiler.schema.base import Count, Piece, Seed
from compiler.schema.losses import Loss
from compiler.schema.model import Precision
from compiler.schema.training import LearningRate, Optimizer
from compiler.stages.base import PolicyRef, PreferencesRef, Stage


class Prefer(Stage):
    """Trains `init` on pairs; the reference's log-probabilities are computed once, before the first step."""

    output: ClassVar[Kind] = Kind.POLICY

    kind: Literal["prefer"]
    init: PolicyRef
    reference: PolicyRef
    data: PreferencesRef
    loss: Loss
    epochs: Count
    global_batch_size: Count
    """in pairs"""
    learning_rate: LearningRate
    optimizer: Annotated[Optimizer, Piece("optimizers")]
    precision: Annotated[Precision, Piece("precisions")]
    seed: Seed

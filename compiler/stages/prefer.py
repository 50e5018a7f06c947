"""prefer: preference training (DPO, IPO, RPO) on pairs, against a reference policy."""

from typing import Annotated, ClassVar, Literal

from compiler.artifacts import Kind
from compiler.schema.base import Count, Grown, Piece, Seed
from compiler.schema.losses import Loss
from compiler.schema.model import Precision
from compiler.schema.training import LearningRate, Optimizer, Trouble
from compiler.stages.base import Evaluation, PolicyRef, PreferencesRef, Stage


class OnPreferences(Evaluation):
    """On pairs."""

    data: PreferencesRef
    """The pairs, held out; the reference is asked about them too."""


class Prefer(Grown, Stage):
    """Trains `init` on pairs; the reference's log-probabilities are computed once, before the first step."""

    output: ClassVar[Kind] = Kind.POLICY
    version: ClassVar[int] = 2  # since then, what is trained in bf16 is handed on in float32
    later: ClassVar[tuple[str, ...]] = ("trouble", "evaluation")

    kind: Literal["prefer"]
    init: PolicyRef
    """The checkpoint that training starts from."""
    reference: PolicyRef
    """The policy that the implicit gap is measured from."""
    data: PreferencesRef
    """Pairs with their rewards."""
    loss: Loss
    """What is minimised."""
    epochs: Count
    """Passes over the data."""
    global_batch_size: Count
    """in pairs"""
    learning_rate: LearningRate
    """How the rate goes from the first step of the stage to the last."""
    optimizer: Annotated[Optimizer, Piece("optimizers")]
    """How weights are moved."""
    precision: Annotated[Precision, Piece("precisions")]
    """What it computes in."""
    seed: Seed
    """Of everything random in this stage."""
    trouble: Trouble | None = None
    """What becomes of steps that go wrong; absent, a loss that is no number stops the stage."""
    evaluation: OnPreferences | None = None
    """Rows that are looked at now and then, and never learnt."""

"""sft: supervised fine-tuning on dialogues, loss on the assistant's tokens only."""

from typing import Annotated, ClassVar, Literal

from compiler.artifacts import Kind
from compiler.schema.base import Count, Grown, Piece, Seed
from compiler.schema.model import Precision
from compiler.schema.training import LearningRate, Optimizer, Trouble
from compiler.stages.base import DialoguesRef, Evaluation, PolicyRef, Stage


class OnDialogues(Evaluation):
    """On dialogues."""

    data: DialoguesRef
    """The dialogues, held out."""


class Sft(Grown, Stage):
    """L = - sum_t m_t log p(y_t | y_<t) / sum_t m_t over each global batch, m_t = 1 on assistant tokens."""

    output: ClassVar[Kind] = Kind.POLICY
    version: ClassVar[int] = 2  # since then, what is trained in bf16 is handed on in float32
    later: ClassVar[tuple[str, ...]] = ("trouble", "evaluation")

    kind: Literal["sft"]
    init: PolicyRef
    """The checkpoint that training starts from."""
    data: DialoguesRef
    """Dialogues; the assistant's turns are learnt."""
    epochs: Count
    """Passes over the data."""
    global_batch_size: Count
    """in dialogues"""
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
    evaluation: OnDialogues | None = None
    """Rows that are looked at now and then, and never learnt."""

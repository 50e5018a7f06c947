"""pretrain: next-token training from scratch or from an earlier checkpoint, in phases with batch ramps."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from compiler.artifacts import Kind
from compiler.schema.base import Piece, Positive, Record, Seed
from compiler.schema.model import ModelSpec, Precision
from compiler.schema.training import LearningRate, Optimizer, RampStep
from compiler.stages.base import PolicyRef, Stage, TokenizerRef, TokensRef


class Phase(Record):
    """A stretch of pretraining with one blend; optimizer state carries over to the next phase."""

    name: str
    blend: Annotated[dict[TokensRef, Positive], Field(min_length=1)]
    """Source -> weight."""
    batch_ramp: Annotated[tuple[RampStep, ...], Field(min_length=1)]
    """Batch sizes and how many tokens to train at each; one entry is a constant batch."""
    learning_rate: LearningRate

    def steps(self, seq_length: int) -> tuple[int, ...]:
        """Optimizer steps of each ramp entry: whole batches that come nearest to its tokens, at least one."""
        return tuple(max(1, round(ramp.tokens / (ramp.global_batch_size * seq_length))) for ramp in self.batch_ramp)


class Pretrain(Stage):
    """Trains on packed sequences of the model's seq_length, loss on every token."""

    output: ClassVar[Kind] = Kind.POLICY

    kind: Literal["pretrain"]
    model: Annotated[ModelSpec, Piece("models")] | None = None
    """The shape, when training starts from scratch."""
    init: PolicyRef | None = None
    """The checkpoint, when training continues one (fresh optimizer state)."""
    tokenizer: TokenizerRef
    seq_length: Annotated[int, Field(gt=1)]
    """Tokens of one packed training sequence; at most the model's."""
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    optimizer: Annotated[Optimizer, Piece("optimizers")]
    precision: Annotated[Precision, Piece("precisions")]
    seed: Seed

    @model_validator(mode="after")
    def _one_start(self) -> "Pretrain":
        if (self.model is None) == (self.init is None):
            raise ValueError("give either `model` (start from scratch) or `init` (continue a checkpoint)")
        return self

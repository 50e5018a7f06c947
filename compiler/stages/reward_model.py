"""reward_model: multi-attribute regression, HelpSteer's five attributes from the last token's hidden state."""

from typing import Annotated, ClassVar, Literal

from compiler.artifacts import Kind
from compiler.schema.base import Count, NonNegative, Piece, Seed, Share
from compiler.schema.model import Precision
from compiler.schema.training import LearningRate, Optimizer
from compiler.stages.base import PolicyRef, ResponsesRef, ScoresRef, Stage


class RewardModel(Stage):
    """Starts from a policy's body with a new linear head; learns the attributes that a judge (or people) gave.

    Responses to some prompts are held out; their pairs calibrate the model (share of pairs in the right order,
    by family), which is what a judge's gate looks at.
    """

    output: ClassVar[Kind] = Kind.REWARD_MODEL

    kind: Literal["reward_model"]
    init: PolicyRef
    responses: ResponsesRef
    scores: ScoresRef
    """Attributes of these responses."""
    held_out: Share
    """Share of the prompts kept for calibration."""
    bradley_terry_weight: NonNegative
    """Weight of -log sigmoid(r_c - r_l) over pairs of one prompt, beside the regression; the report's is 0."""
    epochs: Count
    global_batch_size: Count
    """in responses"""
    learning_rate: LearningRate
    optimizer: Annotated[Optimizer, Piece("optimizers")]
    precision: Annotated[Precision, Piece("precisions")]
    seed: Seed

"""reward_model: HelpSteer's five attributes, or one reward, from the last token's hidden state."""

from typing import Annotated, ClassVar, Literal

from pydantic import model_validator

from compiler.artifacts import Kind
from compiler.schema.base import Count, Grown, Piece, Seed, Share
from compiler.schema.losses import BradleyTerry, RewardLoss
from compiler.schema.model import Precision
from compiler.schema.training import LearningRate, Optimizer, Trouble
from compiler.stages.base import ModelRef, PreferencesRef, RatingsRef, ResponsesRef, ScoresRef, Stage


class RewardModel(Grown, Stage):
    """Starts from a policy's body with a new linear head, or from another reward model with its head.

    It learns from ratings that people gave, or from responses with a judge's scores, or (Bradley-Terry) from
    preference pairs. Answers to some prompts are held out; their pairs calibrate the model (share of pairs in the
    right order, by family), which is what a judge's gate looks at.
    """

    output: ClassVar[Kind] = Kind.REWARD_MODEL
    version: ClassVar[int] = 2  # since then, what is trained in bf16 is handed on in float32
    later: ClassVar[tuple[str, ...]] = ("trouble",)

    kind: Literal["reward_model"]
    init: ModelRef
    """The checkpoint that training starts from."""
    ratings: RatingsRef | None = None
    """Answers with attributes, of people;"""
    responses: ResponsesRef | None = None
    """or answers of a model,"""
    scores: ScoresRef | None = None
    """and the attributes that a judge gave them;"""
    preferences: PreferencesRef | None = None
    """or pairs, for the Bradley-Terry loss."""
    loss: RewardLoss
    """What is minimised."""
    held_out: Share
    """Share of the prompts kept for calibration."""
    epochs: Count
    """Passes over the data."""
    global_batch_size: Count
    """in responses (in pairs where it learns from preferences)"""
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

    @model_validator(mode="after")
    def _one_kind_of_data(self) -> "RewardModel":
        if (self.responses is None) != (self.scores is None):
            raise ValueError("`responses` and `scores` go together")
        given = [self.ratings, self.responses, self.preferences]
        if sum(one is not None for one in given) != 1:
            raise ValueError("give one of `ratings`, `responses` with `scores`, or `preferences`")
        if isinstance(self.loss, BradleyTerry) != (self.preferences is not None):
            raise ValueError("the bradley_terry loss learns from `preferences`, regression from attributes")
        return self

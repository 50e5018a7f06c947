"""pretrain: next-token training from scratch or from an earlier checkpoint, in phases with batch ramps."""

from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from compiler.artifacts import Kind
from compiler.schema.base import Grown, Piece, Positive, Record, Seed
from compiler.schema.model import ModelSpec, Precision
from compiler.schema.training import LearningRate, Optimizer, RampStep, Trouble
from compiler.stages.base import Evaluation, PolicyRef, Stage, TokenizerRef, TokensRef


class Phase(Record):
    """A stretch of pretraining with one blend; optimizer state carries over to the next phase."""

    name: str
    """Said in progress and reports."""
    blend: Annotated[dict[TokensRef, Positive], Field(min_length=1)]
    """Source -> weight."""
    batch_ramp: Annotated[tuple[RampStep, ...], Field(min_length=1)]
    """Batch sizes and how many tokens to train at each; one entry is a constant batch."""
    learning_rate: LearningRate | None = None
    """Over this phase, and over the phases after it that have none: one schedule may span a change of blend."""

    def steps(self, seq_length: int) -> tuple[int, ...]:
        """Optimizer steps of each ramp entry: whole batches that come nearest to its tokens, at least one."""
        return tuple(max(1, round(ramp.tokens / (ramp.global_batch_size * seq_length))) for ramp in self.batch_ramp)


class Schedule(NamedTuple):
    """A stretch of steps along one schedule of the learning rate."""

    rate: LearningRate
    first_step: int
    steps: int


class OnTokens(Evaluation):
    """On text."""

    data: TokensRef
    """The text, held out."""


class Pretrain(Grown, Stage):
    """Trains on packed sequences of the model's seq_length, loss on every token."""

    output: ClassVar[Kind] = Kind.POLICY
    version: ClassVar[int] = 2  # since then, what is trained in bf16 is handed on in float32
    later: ClassVar[tuple[str, ...]] = ("trouble", "evaluation")

    kind: Literal["pretrain"]
    model: Annotated[ModelSpec, Piece("models")] | None = None
    """The shape, when training starts from scratch."""
    init: PolicyRef | None = None
    """The checkpoint, when training continues one (fresh optimizer state)."""
    tokenizer: TokenizerRef
    """What the text is divided into."""
    seq_length: Annotated[int, Field(gt=1)]
    """Tokens of one packed training sequence; at most the model's."""
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    """One after the other; weights and optimizer state go on."""
    optimizer: Annotated[Optimizer, Piece("optimizers")]
    """How weights are moved."""
    precision: Annotated[Precision, Piece("precisions")]
    """What it computes in."""
    seed: Seed
    """Of everything random in this stage."""
    trouble: Trouble | None = None
    """What becomes of steps that go wrong; absent, a loss that is no number stops the stage."""
    evaluation: OnTokens | None = None
    """Rows that are looked at now and then, and never learnt."""

    def batches(self) -> tuple[tuple[int, int], ...]:
        """(global batch size, optimizer steps) of each ramp entry, in the order of their steps."""
        return tuple(
            (ramp.global_batch_size, count)
            for phase in self.phases
            for ramp, count in zip(phase.batch_ramp, phase.steps(self.seq_length), strict=True)
        )

    def schedules(self) -> tuple[Schedule, ...]:
        """The learning rate's schedules, in the order of their steps."""
        found: list[Schedule] = []
        for phase in self.phases:
            steps = sum(phase.steps(self.seq_length))
            if phase.learning_rate is None:
                found[-1] = found[-1]._replace(steps=found[-1].steps + steps)
            else:
                first = found[-1].first_step + found[-1].steps if found else 0
                found.append(Schedule(phase.learning_rate, first, steps))
        return tuple(found)

    @model_validator(mode="after")
    def _starts_with_a_rate(self) -> "Pretrain":
        if self.phases[0].learning_rate is None:
            raise ValueError("the first phase must have a `learning_rate`; later ones may go on along it")
        if any(phase.learning_rate and phase.learning_rate.continues for phase in self.phases[1:]):
            raise ValueError("only the first phase can continue the rate of `init`")
        return self

    @model_validator(mode="after")
    def _one_start(self) -> "Pretrain":
        if (self.model is None) == (self.init is None):
            raise ValueError("give either `model` (start from scratch) or `init` (continue a checkpoint)")
        return self

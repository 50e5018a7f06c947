"""How a model is trained: optimizer, learning rate, batch ramp."""

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from compiler.schema.base import Count, Grown, NonNegative, Positive, Record


class Optimizer(Record):
    """Megatron-core's Adam (AdamW: decoupled weight decay, none on norms and biases)."""

    beta1: Annotated[float, Field(ge=0, lt=1)]
    """Decay of the mean of gradients."""
    beta2: Annotated[float, Field(ge=0, lt=1)]
    """Decay of the mean of squared gradients."""
    epsilon: Positive
    """Added to the root of the mean square."""
    weight_decay: NonNegative
    """Decoupled: times the learning rate, each step."""
    clip_grad: NonNegative
    """Largest global gradient norm; 0 does not clip."""


class Decay(Record):
    """The end of a schedule that is steady until then."""

    steps: Count
    """So many, the last of the stretch."""
    shape: Literal["linear", "cosine", "sqrt"]
    """sqrt: start + (end - start) * sqrt(done)."""


class LearningRate(Grown):
    """The learning rate over a stage (or one phase of it)."""

    later: ClassVar[tuple[str, ...]] = ("continues", "decay")

    shape: Literal["constant", "linear", "cosine", "wsd"]
    """How it goes from `start` to `end` once warm-up is over; wsd is steady until its `decay`."""
    start: Positive | None = None
    """Rate after warm-up;"""
    continues: Literal["init"] | None = None
    """or the rate that the training of `init` ended with ("Reuse, don't retrain")."""
    end: NonNegative
    """Rate at the last step; equal to `start` for a constant rate."""
    warmup_steps: Annotated[int, Field(ge=0)]
    """Steps of linear warm-up from 0 to `start`."""
    decay: Decay | None = None
    """Of the shape wsd."""

    @model_validator(mode="after")
    def _one_start(self) -> "LearningRate":
        if (self.start is None) == (self.continues is None):
            raise ValueError("give either `start` or `continues: init`")
        if (self.shape == "wsd") != (self.decay is not None):
            raise ValueError("the shape wsd, and no other, has a `decay`")
        return self

    def after(self, rate: float) -> "LearningRate":
        """The same with its start known, where it continues training that ended with this rate."""
        return self if self.continues is None else self.model_copy(update={"start": rate, "continues": None})

    def at(self, step: int, num_steps: int) -> float:
        """The rate used by optimizer step `step`, 0-based, of `num_steps`; its start must be known."""
        if self.start is None:
            raise ValueError("this schedule continues another: say first where that ended (`after`)")
        if step < self.warmup_steps:
            return self.start * (step + 1) / self.warmup_steps
        first = self.warmup_steps if self.decay is None else max(self.warmup_steps, num_steps - 1 - self.decay.steps)
        done = min(1.0, max(0, step - first) / max(1, num_steps - 1 - first))
        return self.start + (self.end - self.start) * self._gone(done)

    def _gone(self, done: float) -> float:
        """Share of the way from start to end, after this share of the steps that lead there."""
        match self.decay.shape if self.decay else self.shape:
            case "linear":
                return done
            case "cosine":
                return 0.5 * (1 - math.cos(math.pi * done))
            case "sqrt":
                return math.sqrt(done)
            case _:
                return 0.0


class Spike(Record):
    """A loss far above those before it."""

    factor: Annotated[float, Field(gt=1)]
    """So many times the median of the last losses."""
    window: Count
    """Steps whose losses are compared with; until there are so many nothing counts as a spike."""
    then: Literal["stop", "skip", "rewind"]
    """As for what is not a number."""


class Trouble(Record):
    """What becomes of a step whose loss or gradient is not as it should be; all ranks decide alike.

    skip: the weights stay as they are, the batch is passed over. rewind: weights and optimizer go back to the last
    checkpoint, and training goes on after the batch; the steps between are lost. stop: the stage fails and says why,
    as it does where there is no checkpoint yet to go back to.
    """

    not_a_number: Literal["stop", "skip", "rewind"]
    """Where the loss, or the norm of the gradient, is infinite or no number."""
    spike: Spike | None = None
    """Where the loss is a number, but much higher than before."""
    most: Count
    """Steps that may be lost in this way; one more stops the stage."""


class RampStep(Record):
    """One step of a batch ramp: this many tokens at this global batch size."""

    global_batch_size: Count
    """in sequences"""
    tokens: Count
    """Trained on at this batch size."""


def num_steps(rows: int, epochs: int, global_batch_size: int) -> int:
    """Optimizer steps of so many passes over so many rows: whole batches only, at least one.

    Epochs follow each other without a seam; HelpSteer2's 2 x 20,324 rows at 128 give the published 317.
    """
    return max(1, epochs * rows // global_batch_size)

"""How a model is trained: optimizer, learning rate, batch ramp."""

from typing import Annotated, Literal

from pydantic import Field

from compiler.schema.base import Count, NonNegative, Positive, Record


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


class LearningRate(Record):
    """The learning rate over a stage (or one phase of it)."""

    shape: Literal["constant", "linear", "cosine"]
    """How it goes from `start` to `end` once warm-up is over."""
    start: Positive
    """Rate after warm-up."""
    end: NonNegative
    """Rate at the last step; equal to `start` for a constant rate."""
    warmup_steps: Annotated[int, Field(ge=0)]
    """Steps of linear warm-up from 0 to `start`."""

    def at(self, step: int, num_steps: int) -> float:
        """The rate used by optimizer step `step`, 0-based, of `num_steps`."""
        import math

        if step < self.warmup_steps:
            return self.start * (step + 1) / self.warmup_steps
        if self.shape == "constant":
            return self.start
        span = max(1, num_steps - 1 - self.warmup_steps)
        done = min(1.0, (step - self.warmup_steps) / span)
        if self.shape == "linear":
            return self.start + (self.end - self.start) * done
        return self.end + (self.start - self.end) * 0.5 * (1 + math.cos(math.pi * done))


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

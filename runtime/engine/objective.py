"""What an objective gives back to the engine, and what it is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from runtime.engine.batch import Batch


@dataclass(frozen=True)
class LossOutput:
    """Sums over one micro-batch. The engine divides by the weight of the whole global batch, so that a batch split into
    other micro-batches, or over other data-parallel ranks, is the same batch."""

    loss_sum: Tensor
    """scalar, differentiable"""
    weight: Tensor | float
    """How much this micro-batch counts: its learnt tokens, its rows, its pairs."""
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    """Scalar sums to report as means over the same weight. The same names in every micro-batch."""


Objective = Callable[[Tensor, Batch], LossOutput]
"""(outputs, batch) -> LossOutput. Outputs are log p(label) [B, L] float32 with a language head, and with a regression
head the values at each row's last token, [B, K] float32."""


def next_token(logprobs_BL: Tensor, batch: Batch) -> LossOutput:
    """Cross-entropy of the labels that count: the objective of pretraining and of supervised fine-tuning."""
    return LossOutput(loss_sum=-(logprobs_BL * batch.loss_mask_BL).sum(), weight=batch.loss_mask_BL.sum())

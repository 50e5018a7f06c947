"""regression: multi-attribute reward regression (HelpSteer2, Nemotron-4 340B section 3.1; NeMo-Aligner's masks).

Shapes: B responses, K attributes. A target of -100 is an attribute that nobody rated.
"""

import torch
from torch import Tensor

UNRATED = -100.0


def regression(values_BK: Tensor, targets_BK: Tensor) -> Tensor:
    """Mean squared error over the rated attributes of each response [B]; 0 for a response without ratings."""
    rated_BK = targets_BK != UNRATED
    return _errors(values_BK, targets_BK, rated_BK).sum(dim=1) / rated_BK.sum(dim=1).clamp(min=1)


def masked_mean(values_BK: Tensor, targets_BK: Tensor) -> Tensor:
    """sum_ik v_ik (r_ik - target_ik)^2 / sum_ik v_ik, v = 1 where rated: NeMo-Aligner's loss, a scalar.

    The mean of `regression` where all responses have equally many ratings.
    """
    rated_BK = targets_BK != UNRATED
    return _errors(values_BK, targets_BK, rated_BK).sum() / rated_BK.sum().clamp(min=1)


def _errors(values_BK: Tensor, targets_BK: Tensor, rated_BK: Tensor) -> Tensor:
    errors_BK = (values_BK - targets_BK).square()
    return torch.where(rated_BK, errors_BK, torch.zeros_like(errors_BK))

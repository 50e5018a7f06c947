"""bradley_terry: pairwise reward losses over scalar rewards of chosen and rejected answers.

Shapes: B pairs. Margins and strengths are how much better people found the chosen answer (1, 2, 3 in HelpSteer2).
"""

from torch import Tensor
from torch.nn.functional import logsigmoid


def bradley_terry(chosen_B: Tensor, rejected_B: Tensor) -> Tensor:
    """-log sigmoid(r_c - r_l) (Bradley and Terry 1952)"""
    return -logsigmoid(chosen_B - rejected_B)


def with_margin(chosen_B: Tensor, rejected_B: Tensor, margin_B: Tensor) -> Tensor:
    """-log sigmoid(r_c - r_l - m) (Llama 2, arXiv 2307.09288, eq. 2)"""
    return -logsigmoid(chosen_B - rejected_B - margin_B)


def scaled(chosen_B: Tensor, rejected_B: Tensor, strength_B: Tensor) -> Tensor:
    """-m log sigmoid(r_c - r_l) (HelpSteer2-Preference, arXiv 2410.01257)"""
    return -strength_B * logsigmoid(chosen_B - rejected_B)

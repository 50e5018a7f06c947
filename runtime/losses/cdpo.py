"""cdpo: conservative DPO (Mitchell 2023), DPO with the share e of labels taken to be the wrong way round.

L = -(1 - e) log sigmoid(a) - e log sigmoid(-a), a = beta * Delta. Least at sigmoid(a) = 1 - e, so that a stays bounded.
"""

from torch import Tensor

from compiler.schema.losses import CDPO
from runtime.engine.objective import LossOutput
from runtime.losses.dpo import dpo
from runtime.losses.preference import PreferenceLogprobs, total


def loss(spec: CDPO, pairs: PreferenceLogprobs) -> LossOutput:
    """The loss of these pairs."""
    return total(cdpo(spec.beta * pairs.log_ratio_gap_B, spec.label_noise), spec, pairs)


def cdpo(implicit_gap_B: Tensor, label_noise: float) -> Tensor:
    """DPO either way round, weighed: binary cross entropy with the label 1 - e, finite for every finite a."""
    return (1 - label_noise) * dpo(implicit_gap_B) + label_noise * dpo(-implicit_gap_B)

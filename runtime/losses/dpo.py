"""dpo: direct preference optimisation (Rafailov et al., arXiv 2305.18290, eq. 7).

L = -log sigmoid(a), a = beta * Delta. dL/da = -(1 - sigmoid(a)): never zero, whatever the quality of the answers.
"""

from torch import Tensor
from torch.nn.functional import logsigmoid

from compiler.schema.losses import DPO
from runtime.engine.objective import LossOutput
from runtime.losses.preference import PreferenceLogprobs, total


def loss(spec: DPO, pairs: PreferenceLogprobs) -> LossOutput:
    """The loss of these pairs."""
    return total(dpo(spec.beta * pairs.log_ratio_gap_B), spec, pairs)


def dpo(implicit_gap_B: Tensor) -> Tensor:
    """-log sigmoid(a), finite for every finite a."""
    return -logsigmoid(implicit_gap_B)

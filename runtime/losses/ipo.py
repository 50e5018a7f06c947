"""ipo: identity preference optimisation (Azar et al., arXiv 2310.12036, eq. 17).

L = (Delta - 1 / (2 beta))^2. It equals RPO's squared distance with b = 1/2, divided by beta^2. With `average_log_probs`
each answer's log-ratio is divided by its tokens first, as TRL does it, whose authors had that from the paper's.
"""

from torch import Tensor

from compiler.schema.losses import IPO
from runtime.engine.objective import LossOutput
from runtime.losses.preference import PreferenceLogprobs, total


def loss(spec: IPO, pairs: PreferenceLogprobs) -> LossOutput:
    """The loss of these pairs."""
    gap_B = pairs.mean_log_ratio_gap_B if spec.average_log_probs else pairs.log_ratio_gap_B
    return total(ipo(gap_B, spec.beta), spec, pairs)


def ipo(log_ratio_gap_B: Tensor, beta: float) -> Tensor:
    """The squared distance of Delta from its target."""
    return (log_ratio_gap_B - 1 / (2 * beta)).square()

"""ipo: identity preference optimisation (Azar et al., arXiv 2310.12036, eq. 17).

L = (Delta - 1 / (2 beta))^2. It equals RPO's squared distance with b = 1/2, divided by beta^2.
"""

from torch import Tensor

from compiler.schema.losses import IPO
from runtime.engine.objective import LossOutput
from runtime.losses.preference import PreferenceLogprobs, total


def loss(spec: IPO, pairs: PreferenceLogprobs) -> LossOutput:
    """The loss of these pairs."""
    return total(ipo(pairs.log_ratio_gap_B, spec.beta), spec, pairs)


def ipo(log_ratio_gap_B: Tensor, beta: float) -> Tensor:
    """The squared distance of Delta from its target."""
    return (log_ratio_gap_B - 1 / (2 * beta)).square()

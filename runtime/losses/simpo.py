"""simpo: preference optimisation without a reference (Meng et al., arXiv 2405.14734, eq. 6).

L = -log sigmoid(beta * (log pi(y_c) / |y_c| - log pi(y_l) / |y_l|) - gamma). The reference is only measured, not used.
"""

from compiler.schema.losses import SimPO
from runtime.engine.objective import LossOutput
from runtime.losses.dpo import dpo
from runtime.losses.preference import PreferenceLogprobs, total


def loss(spec: SimPO, pairs: PreferenceLogprobs) -> LossOutput:
    """The loss of these pairs."""
    mean_gap_B = pairs.chosen_B / pairs.chosen_length_B - pairs.rejected_B / pairs.rejected_length_B
    return total(dpo(spec.beta * mean_gap_B - spec.gamma), spec, pairs)

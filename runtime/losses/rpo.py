"""rpo: reward-aware preference optimisation (Nemotron-4 340B, arXiv 2406.11704; distances as in NeMo-Aligner).

A distance between the implicit gap a = beta * Delta and the judged gap b = eta * (r*_c - r*_l). DPO pushes a without
bound, RPO asks it only to reach b.

    bwd_kl   KL(Bern sigmoid(b) || Bern sigmoid(a))   d/da = sigmoid(a) - sigmoid(b)         the report's own
    fwd_kl   KL(Bern sigmoid(a) || Bern sigmoid(b))   d/da = sigmoid'(a) * (a - b)
    sq       (a - b)^2                                d/da = 2 (a - b)

All are zero at a = b only. As b grows without bound, bwd_kl becomes DPO; at b = log((1 - e) / e) it is DPO with label
noise e, less a constant.
"""

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.nn.functional import logsigmoid

from compiler.schema.losses import RPO
from runtime.engine.objective import LossOutput
from runtime.losses.preference import PreferenceLogprobs, total


def loss(spec: RPO, pairs: PreferenceLogprobs) -> LossOutput:
    """The loss of these pairs."""
    implicit_gap_B = spec.beta * pairs.log_ratio_gap_B
    judged_gap_B = spec.eta * pairs.reward_gap_B
    return total(DISTANCES[spec.distance](implicit_gap_B, judged_gap_B), spec, pairs)


def bwd_kl(implicit_gap_B: Tensor, judged_gap_B: Tensor) -> Tensor:
    """sigmoid(b) log(sigmoid(b) / sigmoid(a)) + sigmoid(-b) log(sigmoid(-b) / sigmoid(-a))"""
    return _bernoulli_kl(judged_gap_B, implicit_gap_B)


def fwd_kl(implicit_gap_B: Tensor, judged_gap_B: Tensor) -> Tensor:
    """sigmoid(a) log(sigmoid(a) / sigmoid(b)) + sigmoid(-a) log(sigmoid(-a) / sigmoid(-b))"""
    return _bernoulli_kl(implicit_gap_B, judged_gap_B)


def sq(implicit_gap_B: Tensor, judged_gap_B: Tensor) -> Tensor:
    """(a - b)^2"""
    return (implicit_gap_B - judged_gap_B).square()


DISTANCES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"bwd_kl": bwd_kl, "fwd_kl": fwd_kl, "sq": sq}


def _bernoulli_kl(of_B: Tensor, from_B: Tensor) -> Tensor:
    """KL between two Bernoullis given by their logits.

    From log-sigmoids: no logarithm of a probability, so it is finite for all finite logits, and exactly zero for equal
    ones. (softplus(a) - p_b a - H(p_b) is the same number, but cancels badly where b is large.)
    """
    yes_B = of_B.sigmoid() * (logsigmoid(of_B) - logsigmoid(from_B))
    no_B = (-of_B).sigmoid() * (logsigmoid(-of_B) - logsigmoid(-from_B))
    return yes_B + no_B

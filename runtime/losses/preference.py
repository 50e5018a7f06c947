"""Pairs as preference losses see them, and what all of these losses share: the gap, the SFT term, the metrics.

Shapes: B pairs. Log-probabilities are sums over an answer's tokens, end token included.
"""

from dataclasses import dataclass

from torch import Tensor

from compiler.schema.losses import Loss
from runtime.engine.objective import LossOutput
from runtime.losses.sft import sft


@dataclass(frozen=True)
class PreferenceLogprobs:
    """log pi(y|x) of B pairs under the policy and the reference, and how good a judge found the answers."""

    chosen_B: Tensor
    rejected_B: Tensor
    reference_chosen_B: Tensor
    reference_rejected_B: Tensor
    chosen_reward_B: Tensor
    rejected_reward_B: Tensor
    chosen_length_B: Tensor
    """Tokens that chosen_B sums over."""
    rejected_length_B: Tensor

    @property
    def chosen_ratio_B(self) -> Tensor:
        """log pi(y_c) - log pi_ref(y_c)"""
        return self.chosen_B - self.reference_chosen_B

    @property
    def rejected_ratio_B(self) -> Tensor:
        """log pi(y_l) - log pi_ref(y_l)"""
        return self.rejected_B - self.reference_rejected_B

    @property
    def log_ratio_gap_B(self) -> Tensor:
        """Delta: how much more than the reference the policy prefers the chosen answer."""
        return self.chosen_ratio_B - self.rejected_ratio_B

    @property
    def mean_log_ratio_gap_B(self) -> Tensor:
        """Delta, with either log-ratio divided by its answer's tokens."""
        return self.chosen_ratio_B / self.chosen_length_B - self.rejected_ratio_B / self.rejected_length_B

    @property
    def reward_gap_B(self) -> Tensor:
        """r*(x, y_c) - r*(x, y_l)"""
        return self.chosen_reward_B - self.rejected_reward_B


def total(preference_B: Tensor, spec: Loss, pairs: PreferenceLogprobs) -> LossOutput:
    """L = sum over pairs of preference + sft_weight * (-log pi(y_c)); NeMo-Aligner's total loss, gpt_dpo.yaml.

    Metrics, as sums over pairs: `accuracy` (the implicit gap is positive), `implicit_gap` (beta * Delta),
    `reward_gap` (the judge's, unscaled), `chosen_shift` and `rejected_shift` (how far the policy has moved from the
    reference on either answer), `preference_loss`, `sft_loss` (unweighted).
    """
    sft_B = sft(pairs.chosen_B, pairs.chosen_length_B, average=spec.sft_average)
    loss_B = preference_B + spec.sft_weight * sft_B if spec.sft_weight else preference_B
    metrics = {
        "accuracy": (pairs.log_ratio_gap_B > 0).to(preference_B.dtype),
        "implicit_gap": spec.beta * pairs.log_ratio_gap_B,
        "reward_gap": pairs.reward_gap_B,
        "chosen_shift": pairs.chosen_ratio_B,
        "rejected_shift": pairs.rejected_ratio_B,
        "preference_loss": preference_B,
        "sft_loss": sft_B,
    }
    return LossOutput(
        loss_sum=loss_B.sum(),
        weight=float(len(loss_B)),
        metrics={name: values_B.detach().sum() for name, values_B in metrics.items()},
    )

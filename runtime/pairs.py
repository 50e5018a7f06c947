"""Pairs of answers as the engine sees them: chosen and rejected beside each other, their prompt's tokens there once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from runtime.engine.batch import Batch, pack
from runtime.losses.preference import PreferenceLogprobs


@dataclass(frozen=True)
class Answer:
    """One answer to one prompt, as tokens."""

    token_ids: tuple[int, ...]
    """Prompt and answer."""
    mask: tuple[int, ...]
    """1 on the answer's tokens."""


@dataclass(frozen=True)
class Pairs:
    """All pairs of a data set, with what is known of them."""

    answers: Sequence[Answer]
    """Chosen, rejected, chosen, rejected, ..."""
    rewards: Tensor
    """float32, of each answer"""
    reference: Tensor
    """float32, log p of each answer under the reference"""
    pad_id: int

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The pairs of these numbers as one micro-batch."""
        answers = [answer for number in numbers for answer in (2 * number, 2 * number + 1)]
        return pack(
            [self.answers[answer].token_ids for answer in answers],
            [self.answers[answer].mask for answer in answers],
            group=2,
            pad_id=self.pad_id,
            extra={"reference": self.reference[answers], "rewards": self.rewards[answers]},
        )


def pair_logprobs(logprobs_BL: Tensor, batch: Batch) -> PreferenceLogprobs:
    """Sums over answer tokens, split into chosen (even sequences) and rejected (odd ones)."""
    policy_S = batch.totals(logprobs_BL)
    lengths_S = batch.totals(torch.ones_like(logprobs_BL))
    reference_S, rewards_S = batch.extra["reference"], batch.extra["rewards"]
    return PreferenceLogprobs(
        chosen_B=policy_S[0::2],
        rejected_B=policy_S[1::2],
        reference_chosen_B=reference_S[0::2],
        reference_rejected_B=reference_S[1::2],
        chosen_reward_B=rewards_S[0::2],
        rejected_reward_B=rewards_S[1::2],
        chosen_length_B=lengths_S[0::2],
        rejected_length_B=lengths_S[1::2],
    )

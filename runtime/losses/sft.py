"""sft: negative log-likelihood of answers, as a term beside a preference loss or by itself."""

from torch import Tensor


def sft(logprob_B: Tensor, length_B: Tensor, *, average: bool) -> Tensor:
    """-log pi(y|x) of each answer [B]; divided by its tokens where `average`.

    Summed log-probabilities are NeMo-Aligner's default (`sft_average_log_probs: false`).
    """
    return -logprob_B / length_B if average else -logprob_B


def answer_only(logprob_B: Tensor, length_B: Tensor) -> Tensor:
    """L = - sum_t m_t log pi(y_t | y_<t) / sum_t m_t over the batch: NeMo's answer_only_loss, a scalar.

    Every token counts the same, so a long answer counts more than a short one; `sft(..., average=True).mean()` is the
    other choice, where every answer counts the same.
    """
    return -logprob_B.sum() / length_B.sum()

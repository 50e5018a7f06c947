import torch

from runtime.losses.sft import answer_only, sft


def test_likelihoods_are_summed_or_averaged_over_tokens() -> None:
    logprob_B, length_B = torch.tensor([-6.0, -2.0]), torch.tensor([3.0, 1.0])
    assert sft(logprob_B, length_B, average=False).tolist() == [6, 2]
    assert sft(logprob_B, length_B, average=True).tolist() == [2, 2]


def test_training_counts_tokens_and_not_answers() -> None:
    logprob_B, length_B = torch.tensor([-6.0, -4.0]), torch.tensor([3.0, 1.0])
    assert answer_only(logprob_B, length_B).item() == 10 / 4
    assert sft(logprob_B, length_B, average=True).mean().item() == 3

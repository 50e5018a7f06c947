import math

import pytest
import torch

from runtime.losses.bradley_terry import bradley_terry, scaled, with_margin

CHOSEN, REJECTED = torch.tensor([1.0, -1.0, 2.0]), torch.tensor([1.0, 1.0, -1.0])


def test_the_loss_is_the_log_odds_of_the_right_order() -> None:
    expected = [math.log(2), math.log(1 + math.exp(2)), math.log(1 + math.exp(-3))]
    assert bradley_terry(CHOSEN, REJECTED).tolist() == pytest.approx(expected)


def test_only_the_difference_counts() -> None:
    torch.testing.assert_close(bradley_terry(CHOSEN + 7, REJECTED + 7), bradley_terry(CHOSEN, REJECTED))


def test_a_margin_is_a_distance_to_keep() -> None:
    margin = torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(with_margin(CHOSEN, REJECTED, margin), bradley_terry(CHOSEN - margin, REJECTED))
    torch.testing.assert_close(with_margin(CHOSEN, REJECTED, 0 * margin), bradley_terry(CHOSEN, REJECTED))


def test_strength_is_a_weight() -> None:
    strength = torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(scaled(CHOSEN, REJECTED, strength), strength * bradley_terry(CHOSEN, REJECTED))


def test_losses_stay_finite() -> None:
    assert torch.isfinite(bradley_terry(torch.tensor([1e6, -1e6]), torch.tensor([-1e6, 1e6]))).all()

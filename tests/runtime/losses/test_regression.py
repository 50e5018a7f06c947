import pytest
import torch

from runtime.losses.regression import UNRATED, masked_mean, regression

VALUES = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])


def test_the_loss_is_the_mean_squared_error_of_each_response() -> None:
    targets = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 2.0]])
    assert regression(VALUES, targets).tolist() == pytest.approx([13 / 3, 2])
    assert masked_mean(VALUES, targets).item() == pytest.approx((13 + 6) / 6)
    assert masked_mean(VALUES, targets).item() == pytest.approx(regression(VALUES, targets).mean().item())


def test_what_nobody_rated_does_not_count() -> None:
    targets = torch.tensor([[1.0, UNRATED, UNRATED], [UNRATED, 1.0, 2.0]])
    assert regression(VALUES, targets).tolist() == [0, 2.5]
    assert masked_mean(VALUES, targets).item() == pytest.approx(5 / 3)


def test_responses_without_any_rating_are_harmless() -> None:
    values = VALUES.clone().requires_grad_()
    targets = torch.full_like(VALUES, UNRATED)
    loss = regression(values, targets).sum() + masked_mean(values, targets)
    loss.backward()
    assert loss.item() == 0
    assert values.grad is not None and values.grad.abs().sum() == 0


def test_gradients_agree_with_finite_differences() -> None:
    values = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    targets = torch.arange(20, dtype=torch.float64).reshape(4, 5) % 5
    targets[1, 2] = UNRATED
    assert torch.autograd.gradcheck(lambda values: regression(values, targets), (values,))
    assert torch.autograd.gradcheck(lambda values: masked_mean(values, targets), (values,))

"""Preference losses against the reference table, closed forms and limits of nemotron4-facts, section 10."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import Tensor

from compiler.schema.losses import Loss
from runtime import losses
from runtime.losses.cdpo import cdpo
from runtime.losses.dpo import dpo
from runtime.losses.ipo import ipo
from runtime.losses.preference import PreferenceLogprobs
from runtime.losses.rpo import DISTANCES, bwd_kl, fwd_kl, sq

TABLE = [
    # a, b, bwd, fwd, sq, -log sigmoid(a)
    (0.0, 0.5, 0.030300, 0.030930, 0.25, 0.693147),
    (0.0, 1.0, 0.110944, 0.120115, 1.0, 0.693147),
    (0.0, 4.0, 0.603052, 1.325003, 16.0, 0.693147),
    (2.0, 0.5, 0.219162, 0.168345, 2.25, 0.126928),
    (2.0, 1.0, 0.082608, 0.067131, 1.0, 0.126928),
    (2.0, 4.0, 0.072806, 0.129628, 4.0, 0.126928),
    (-2.0, 0.5, 0.708999, 0.549142, 6.25, 2.126928),
    (-2.0, 1.0, 1.006842, 0.828725, 9.0, 2.126928),
    (-2.0, 4.0, 2.000861, 3.176004, 36.0, 2.126928),
]
gaps = st.floats(-30, 30)


def _softplus(x_B: Tensor) -> Tensor:
    """Exact: torch's own is linear from 20 on."""
    return torch.logaddexp(x_B, torch.zeros_like(x_B))


def _f64(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _pairs(rows: int = 5, seed: int = 0, **fields: Tensor) -> PreferenceLogprobs:
    random = torch.Generator().manual_seed(seed)

    def draw(scale: float) -> Tensor:
        return -scale * torch.rand(rows, generator=random, dtype=torch.float64)

    drawn = {
        "chosen_B": draw(9),
        "rejected_B": draw(9),
        "reference_chosen_B": draw(9),
        "reference_rejected_B": draw(9),
        "chosen_reward_B": -draw(4),
        "rejected_reward_B": draw(4),
        "chosen_length_B": torch.arange(1, rows + 1, dtype=torch.float64),
        "rejected_length_B": torch.arange(rows + 3, 3, -1, dtype=torch.float64),
    }
    return PreferenceLogprobs(**{**drawn, **fields})


def _spec(kind: str, **fields: Any) -> Any:
    own: dict[str, Any] = {
        "dpo": {},
        "cdpo": {"label_noise": 0.1},
        "simpo": {"gamma": 0.5},
        "ipo": {"average_log_probs": False},
        "rpo": {"distance": "bwd_kl", "eta": 0.7},
    }[kind]
    given = {"kind": kind, "beta": 0.1, "sft_weight": 0.0, "sft_average": False, **own, **fields}
    return TypeAdapter(Loss).validate_python(given)


SPECS = [
    _spec("dpo"),
    _spec("cdpo"),
    _spec("simpo", beta=2.0),
    _spec("ipo"),
    _spec("ipo", average_log_probs=True),
    _spec("rpo"),
    _spec("rpo", distance="fwd_kl"),
    _spec("rpo", distance="sq"),
    _spec("dpo", sft_weight=0.3),
    _spec("rpo", sft_weight=0.3, sft_average=True),
]
every_spec = pytest.mark.parametrize(
    "spec", SPECS, ids=lambda spec: f"{spec.kind}-{getattr(spec, 'distance', '')}-{spec.sft_weight}"
)


@pytest.mark.parametrize(("a", "b", "backward", "forward", "square", "direct"), TABLE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_reference_table(
    a: float, b: float, backward: float, forward: float, square: float, direct: float, dtype: torch.dtype
) -> None:
    a_B, b_B = torch.tensor([a], dtype=dtype), torch.tensor([b], dtype=dtype)
    found = [loss.item() for loss in (bwd_kl(a_B, b_B), fwd_kl(a_B, b_B), sq(a_B, b_B), dpo(a_B))]
    assert found == pytest.approx([backward, forward, square, direct], abs=1e-6)


@given(gaps, gaps)
@settings(deadline=None)
def test_the_stable_forms_of_the_literature(a: float, b: float) -> None:
    a_B, b_B = _f64(a), _f64(b)
    p_b = b_B.sigmoid()
    entropy = _softplus(b_B) - p_b * b_B
    torch.testing.assert_close(bwd_kl(a_B, b_B), _softplus(a_B) - p_b * a_B - entropy, atol=1e-10, rtol=0)
    forward = a_B.sigmoid() * (a_B - b_B) + _softplus(b_B) - _softplus(a_B)
    torch.testing.assert_close(fwd_kl(a_B, b_B), forward, atol=1e-10, rtol=0)


@given(gaps, gaps)
@settings(deadline=None)
def test_gradients_have_their_closed_forms(a: float, b: float) -> None:
    a_B, b_B = _f64(a).requires_grad_(), _f64(b)
    p_a, p_b = a_B.detach().sigmoid(), b_B.sigmoid()
    gap = a_B.detach() - b_B
    for loss, expected in (
        (bwd_kl(a_B, b_B), p_a - p_b),
        (fwd_kl(a_B, b_B), p_a * (1 - p_a) * gap),
        (sq(a_B, b_B), 2 * gap),
        (dpo(a_B), p_a - 1),
    ):
        (gradient,) = torch.autograd.grad(loss.sum(), a_B)
        torch.testing.assert_close(gradient, expected, atol=1e-10, rtol=1e-10)


@every_spec
def test_gradients_agree_with_finite_differences(spec: Any) -> None:
    pairs = _pairs()
    names = ("chosen_B", "rejected_B")

    def loss(*values: Tensor) -> Tensor:
        moved = PreferenceLogprobs(**{**vars(pairs), **dict(zip(names, values, strict=True))})
        return losses.find(spec.kind)(spec, moved).loss_sum

    inputs = tuple(getattr(pairs, name).clone().requires_grad_() for name in names)
    assert torch.autograd.gradcheck(loss, inputs)


@pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES)
@given(a=gaps, b=gaps)
@settings(deadline=None)
def test_a_distance_is_zero_where_the_gaps_are_equal_and_nowhere_else(
    distance: Callable[[Tensor, Tensor], Tensor], a: float, b: float
) -> None:
    assert distance(_f64(b), _f64(b)).item() == 0
    assert distance(_f64(a), _f64(b)).item() >= -1e-14
    if abs(a - b) > 1e-3 and max(abs(a), abs(b)) < 10:
        assert distance(_f64(a), _f64(b)).item() > 0


@given(gaps, st.floats(-1e-4, 1e-4))
@settings(deadline=None)
def test_near_equality_both_divergences_are_the_same_parabola(b: float, step: float) -> None:
    a_B, b_B = _f64(b + step), _f64(b)
    parabola = b_B.sigmoid() * (-b_B).sigmoid() * step**2 / 2
    for divergence in (bwd_kl, fwd_kl):
        assert divergence(a_B, b_B).item() == pytest.approx(parabola.item(), abs=1e-12)


@pytest.mark.parametrize("judged", [50.0, 1e4, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_backward_rpo_becomes_dpo_as_the_judged_gap_grows(judged: float, dtype: torch.dtype) -> None:
    a_B = torch.tensor([-90.0, -3.0, 0.0, 2.0], dtype=dtype)
    torch.testing.assert_close(bwd_kl(a_B, torch.full_like(a_B, judged)), dpo(a_B), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("noise", [0.05, 0.2689414, 0.5])
def test_backward_rpo_at_a_fixed_gap_is_dpo_with_label_noise_less_its_entropy(noise: float) -> None:
    a_B = torch.linspace(-6, 6, 13, dtype=torch.float64)
    conservative = (1 - noise) * dpo(a_B) + noise * dpo(-a_B)
    entropy = -noise * math.log(noise) - (1 - noise) * math.log(1 - noise)
    b_B = torch.full_like(a_B, math.log((1 - noise) / noise))
    torch.testing.assert_close(bwd_kl(a_B, b_B), conservative - entropy)


@pytest.mark.parametrize("beta", [0.03, 0.1, 1.0])
def test_ipo_is_squared_rpo_with_a_gap_of_one_half(beta: float) -> None:
    delta_B = torch.linspace(-30, 30, 13, dtype=torch.float64)
    torch.testing.assert_close(ipo(delta_B, beta), sq(beta * delta_B, torch.full_like(delta_B, 0.5)) / beta**2)


def test_the_gradient_of_backward_rpo_is_bounded_and_does_not_vanish_where_the_policy_is_wrong() -> None:
    a_B = _f64(-200.0, -20.0, 20.0, 200.0).requires_grad_()
    b_B = torch.full_like(a_B, 1.0)
    (backward,) = torch.autograd.grad(bwd_kl(a_B, b_B).sum(), a_B)
    (forward,) = torch.autograd.grad(fwd_kl(a_B, b_B).sum(), a_B)
    assert backward.abs().max() < 1
    assert backward[0].item() == pytest.approx(-1 / (1 + math.exp(-1)))
    assert abs(forward[0].item()) < 1e-12


@pytest.mark.parametrize("function", [*DISTANCES.values(), lambda a_B, _: dpo(a_B)], ids=[*DISTANCES, "dpo"])
@pytest.mark.parametrize("size", [1e2, 1e4, 1e6])
def test_losses_and_gradients_stay_finite_in_float32(function: Any, size: float) -> None:
    a_B = torch.tensor([size, size, -size, -size, 0.0, size], requires_grad=True)
    b_B = torch.tensor([size, -size, size, -size, size, 0.0])
    loss_B = function(a_B, b_B)
    (gradient,) = torch.autograd.grad(loss_B.sum(), a_B)
    assert torch.isfinite(loss_B).all()
    assert torch.isfinite(gradient).all()


@every_spec
def test_what_changes_no_gap_changes_no_preference_loss(spec: Any) -> None:
    pairs, loss = _pairs(), losses.find(spec.kind)
    shift = torch.tensor([3.0, -1.0, 0.5, 2.0, -4.0], dtype=torch.float64)

    per_token = spec.kind == "simpo" or getattr(spec, "average_log_probs", False)

    def shifted(name: str) -> Tensor:
        length_B = pairs.rejected_length_B if "rejected" in name else pairs.chosen_length_B
        return getattr(pairs, name) + (shift * length_B if per_token and "reward" not in name else shift)

    def moved(*names: str) -> PreferenceLogprobs:
        return PreferenceLogprobs(**{**vars(pairs), **{name: shifted(name) for name in names}})

    before = loss(spec, pairs).metrics["preference_loss"]
    same = [
        ("chosen_B", "rejected_B"),
        ("reference_chosen_B", "reference_rejected_B"),
        ("chosen_reward_B", "rejected_reward_B"),
        # simpo looks at no reference.
        ("reference_chosen_B",) if spec.kind == "simpo" else ("chosen_B", "reference_chosen_B"),
    ]
    for names in same:
        torch.testing.assert_close(loss(spec, moved(*names)).metrics["preference_loss"], before)


@every_spec
def test_a_batch_is_the_sum_of_its_pairs(spec: Any) -> None:
    pairs, loss = _pairs(), losses.find(spec.kind)
    whole = loss(spec, pairs)
    parts = [
        loss(spec, PreferenceLogprobs(**{name: values[row : row + 1] for name, values in vars(pairs).items()}))
        for row in range(5)
    ]
    torch.testing.assert_close(whole.loss_sum, torch.stack([part.loss_sum for part in parts]).sum())
    assert whole.weight == sum(float(part.weight) for part in parts) == 5
    for name, value in whole.metrics.items():
        torch.testing.assert_close(value, torch.stack([part.metrics[name] for part in parts]).sum())


@every_spec
def test_beta_and_eta_scale_the_gaps(spec: Any) -> None:
    pairs = _pairs()
    delta, rewards = pairs.log_ratio_gap_B, pairs.chosen_reward_B - pairs.rejected_reward_B
    expected = {
        "dpo": lambda: dpo(0.1 * delta),
        "cdpo": lambda: 0.9 * dpo(0.1 * delta) + 0.1 * dpo(-0.1 * delta),
        "simpo": lambda: dpo(
            2 * (pairs.chosen_B / pairs.chosen_length_B - pairs.rejected_B / pairs.rejected_length_B) - 0.5
        ),
        "ipo": lambda: ((pairs.mean_log_ratio_gap_B if spec.average_log_probs else delta) - 5).square(),
        "rpo": lambda: DISTANCES[spec.distance](0.1 * delta, 0.7 * rewards),
    }[spec.kind]()
    torch.testing.assert_close(losses.find(spec.kind)(spec, pairs).metrics["preference_loss"], expected.sum())


@pytest.mark.parametrize("average", [False, True])
def test_the_sft_term_is_the_likelihood_of_the_chosen_answer(average: bool) -> None:
    pairs = _pairs()
    plain = losses.find("dpo")(_spec("dpo"), pairs)
    with_term = losses.find("dpo")(_spec("dpo", sft_weight=0.5, sft_average=average), pairs)
    length = pairs.chosen_length_B if average else 1
    torch.testing.assert_close(with_term.loss_sum - plain.loss_sum, 0.5 * (-pairs.chosen_B / length).sum())
    torch.testing.assert_close(with_term.metrics["sft_loss"], (-pairs.chosen_B / length).sum())


def test_metrics_tell_which_answers_moved_and_where() -> None:
    pairs = _pairs(
        2,
        chosen_B=_f64(-1, -4),
        rejected_B=_f64(-6, -3),
        reference_chosen_B=_f64(-2, -2),
        reference_rejected_B=_f64(-3, -3),
        chosen_reward_B=_f64(3, 2),
        rejected_reward_B=_f64(1, 1),
    )
    metrics = {name: value.item() for name, value in losses.find("rpo")(_spec("rpo"), pairs).metrics.items()}
    assert metrics["accuracy"] == 1
    assert metrics["chosen_shift"] == 1 - 2
    assert metrics["rejected_shift"] == -3 + 0
    assert metrics["implicit_gap"] == pytest.approx(0.1 * (4 - 2))
    assert metrics["reward_gap"] == 3


@every_spec
def test_metrics_do_not_hold_the_graph(spec: Any) -> None:
    pairs = _pairs()
    output = losses.find(spec.kind)(spec, _pairs(chosen_B=pairs.chosen_B.clone().requires_grad_()))
    assert output.loss_sum.requires_grad
    assert not any(value.requires_grad for value in output.metrics.values())


def test_an_unknown_loss_is_refused() -> None:
    for name in ("preference", "sft", "os"):
        with pytest.raises(ValueError, match="dpo"):
            losses.find(name)


@pytest.mark.parametrize("noise", [0.05, 0.2, 0.4])
def test_conservative_dpo_is_least_where_it_believes_the_labels_as_much_as_they_deserve(noise: float) -> None:
    best = torch.tensor([math.log((1 - noise) / noise)], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(cdpo(best, noise).sum(), best)
    torch.testing.assert_close(gradient, torch.zeros_like(best), atol=1e-12, rtol=0)
    assert cdpo(best, noise) < cdpo(best + 0.1, noise)
    assert cdpo(best, noise) < cdpo(best - 0.1, noise)

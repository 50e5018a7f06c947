"""Rounding to FP8 against closed forms, and against torch's own FP8 matrix product."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.engine.float8 import E4M3, E5M2, Blocks, block_amax, e8m0_scale_of, round_to, scale_of

# (dtype, largest, half of the spacing relative to the number, smallest normal number)
FORMATS = [(E4M3, 448.0, 2.0**-4, 2.0**-6), (E5M2, 57344.0, 2.0**-3, 2.0**-14)]


@pytest.mark.parametrize(("dtype", "largest", "step", "smallest"), FORMATS)
def test_what_fp8_can_represent_is_kept_and_what_it_cannot_is_within_half_a_step(
    dtype: torch.dtype, largest: float, step: float, smallest: float
) -> None:
    every = torch.arange(256, dtype=torch.uint8).view(dtype).float()
    every = every[every.isfinite()]
    assert torch.equal(round_to(every, 1.0, dtype), every)
    values = torch.logspace(math.log10(smallest), math.log10(largest), 10_000)
    error = (round_to(values, 1.0, dtype) - values).abs() / values
    assert float(error.max()) <= step
    assert float(error.max()) > 0.99 * step / (1 + step)  # the bound is the format's own, and not of a finer one


@pytest.mark.parametrize(("dtype", "largest"), [row[:2] for row in FORMATS])
def test_numbers_beyond_the_range_saturate_and_never_become_infinite(dtype: torch.dtype, largest: float) -> None:
    values = torch.tensor([largest * 3, -largest * 3, largest])
    assert round_to(values, 1.0, dtype).tolist() == [largest, -largest, largest]


@pytest.mark.parametrize(("dtype", "largest"), [row[:2] for row in FORMATS])
def test_a_scale_brings_the_largest_magnitude_to_the_largest_number(dtype: torch.dtype, largest: float) -> None:
    amax = torch.tensor([3.0, 1e-20, 1e20])
    assert torch.allclose(scale_of(amax, dtype) * amax, torch.full((3,), largest))
    assert torch.allclose(round_to(amax, scale_of(amax, dtype), dtype), amax, rtol=1e-6)
    assert scale_of(torch.tensor([0.0, math.inf, math.nan]), dtype).tolist() == [1.0, 1.0, 1.0]


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-30, 1e30), st.sampled_from([E4M3, E5M2]))
def test_powers_of_two_are_the_largest_that_do_not_saturate(amax: float, dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max
    for scale in (
        float(scale_of(torch.tensor(amax), dtype, power_of_two=True)),
        float(e8m0_scale_of(torch.tensor(amax), dtype)),
    ):
        assert math.frexp(scale)[0] == 0.5
        assert amax * scale <= largest * (1 + 1e-6)
        assert 2 * amax * scale > largest * (1 - 1e-6)


def test_e8m0_scales_stay_within_their_eight_bits() -> None:
    assert float(e8m0_scale_of(torch.tensor(1e38), E4M3)) >= 2.0**-127
    assert float(e8m0_scale_of(torch.tensor(1e-45), E4M3)) == 2.0**127
    assert float(e8m0_scale_of(torch.tensor(448.0), E4M3)) == 1.0  # exactly the largest number needs no room


def test_blocks_share_the_largest_magnitude_and_those_at_the_edge_are_smaller() -> None:
    values = torch.arange(1.0, 16).view(3, 5)
    values[0, 0] = -20
    by_two = block_amax(values, Blocks(2, 2))
    assert by_two.tolist() == [[20, 20, 9, 9, 10], [20, 20, 9, 9, 10], [12, 12, 14, 14, 15]]
    assert torch.equal(block_amax(values, Blocks(1, 5)), values.abs().amax(dim=1, keepdim=True).expand(3, 5))
    assert torch.equal(block_amax(values, Blocks(3, 1)), values.abs().amax(dim=0, keepdim=True).expand(3, 5))


def test_a_block_of_its_own_keeps_small_numbers_that_an_outlier_elsewhere_would_flush() -> None:
    values = torch.full((1, 256), 1e-3)
    values[0, 0] = 1e3
    whole = round_to(values, scale_of(values.abs().amax(), E4M3), E4M3)
    blocks = round_to(values, scale_of(block_amax(values, Blocks(1, 128)), E4M3), E4M3)
    assert float(whole[0, 200]) == 0
    assert torch.allclose(blocks[0, 128:], values[0, 128:], rtol=0.04)


@pytest.mark.parametrize("gradients", [E4M3, E5M2])
def test_a_product_of_rounded_operands_is_torch_s_fp8_product(gradients: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(16, 32, generator=generator), torch.randn(48, 32, generator=generator)
    scales = scale_of(left.abs().amax(), gradients), scale_of(right.abs().amax(), E4M3)
    ours = round_to(left, scales[0], gradients) @ round_to(right, scales[1], E4M3).T
    theirs = torch._scaled_mm(
        (left * scales[0]).to(gradients),
        (right * scales[1]).to(E4M3).T,
        scale_a=1 / scales[0],
        scale_b=1 / scales[1],
        out_dtype=torch.float32,
    )
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)

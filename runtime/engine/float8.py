"""FP8 rounding by cast and dequantise: what a number is worth after it has gone through FP8 under a scaling rule.

The rules are Transformer Engine's. A scale s maps the largest magnitude of what shares it to the format's largest
number; kept is round(x s) / s. Shapes: R rows, C columns; what is multiplied over is always the last dimension.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2


@dataclass(frozen=True)
class Blocks:
    """Numbers that share a scale: blocks of `rows` x `columns`."""

    rows: int
    columns: int


def round_to(values: Tensor, scale: Tensor | float, dtype: torch.dtype) -> Tensor:
    """float32 of the same shape: `values` times `scale`, saturated and rounded to nearest even in FP8, and back."""
    limit = torch.finfo(dtype).max
    scaled = (values.float() * scale).clamp(-limit, limit)
    return scaled.to(dtype).float() / scale


def scale_of(amax: Tensor, dtype: torch.dtype, *, power_of_two: bool = False) -> Tensor:
    """largest / amax, float32; 1 where the largest magnitude is 0 or not finite.

    A `power_of_two` is the next below, so that nothing saturates.
    """
    scale = (torch.finfo(dtype).max / amax.float()).clamp(max=torch.finfo(torch.float32).max)
    if power_of_two:
        _, exponent = torch.frexp(scale)
        scale = torch.ldexp(torch.ones_like(scale), exponent - 1)
    return torch.where((amax > 0) & amax.isfinite(), scale, torch.ones_like(scale))


def e8m0_scale_of(amax: Tensor, dtype: torch.dtype) -> Tensor:
    """The reciprocal of MXFP8's E8M0 scale: amax / largest rounded up to a power of two within 2^-127 to 2^127."""
    mantissa, exponent = torch.frexp(amax.float() / torch.finfo(dtype).max)
    exponent = torch.where(mantissa == 0.5, exponent - 1, exponent)
    exponent = torch.where(mantissa == 0, torch.full_like(exponent, -127), exponent).clamp(-127, 127)
    scale = torch.ldexp(torch.ones_like(mantissa), -exponent)
    return torch.where((amax > 0) & amax.isfinite(), scale, torch.ones_like(scale))


def block_amax(values_RC: Tensor, blocks: Blocks) -> Tensor:
    """[R, C]: for each number the largest magnitude of its block; blocks at the edges may be smaller."""
    num_rows, num_columns = values_RC.shape
    missing = (-num_columns % blocks.columns, -num_rows % blocks.rows)
    padded = functional.pad(values_RC.detach().abs().float(), (0, missing[0], 0, missing[1]))
    grid = padded.view(padded.shape[0] // blocks.rows, blocks.rows, padded.shape[1] // blocks.columns, blocks.columns)
    amax = grid.amax(dim=(1, 3), keepdim=True).expand_as(grid).reshape(padded.shape)
    return amax[:num_rows, :num_columns]

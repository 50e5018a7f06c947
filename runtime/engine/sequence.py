"""The sequence divided over context-parallel ranks, and put together again.

Of 2R pieces of equal length rank r of R holds the pieces r and 2R - 1 - r: under a causal mask early tokens are little
work and late ones much, so that every rank has as much as the others. Megatron's rotary embedding divides alike
(rope_utils.py:48). Shapes: L tokens of the whole sequence, which must be a multiple of 2R.
"""

from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor


def ranks() -> int:
    """How many ranks the sequence is divided over."""
    return int(parallel_state.get_context_parallel_world_size())


def positions(num_tokens: int, rank: int, ranks: int, device: torch.device | None = None) -> Tensor:
    """[L / R]: the places in the whole sequence of the tokens that this rank holds."""
    piece = num_tokens // (2 * ranks)
    first, second = rank * piece, (2 * ranks - 1 - rank) * piece
    return torch.cat([torch.arange(begin, begin + piece, device=device) for begin in (first, second)])


def my_positions(num_tokens: int, device: torch.device | None = None) -> Tensor:
    """`positions` of this rank."""
    return positions(num_tokens, parallel_state.get_context_parallel_rank(), ranks(), device)


def divided(whole: Tensor, dim: int) -> Tensor:
    """This rank's tokens of a tensor that every rank holds whole."""
    return whole.index_select(dim, my_positions(whole.shape[dim], whole.device))


def joined(part: Tensor, *, summed: bool) -> Tensor:
    """[L / R, ...] -> [L, ...], on every rank alike.

    Backward, `summed` adds what the ranks made of the whole, each something else: keys that all queries look at.
    Otherwise every rank makes the same of it, a loss, and takes the gradient of its own tokens.
    """
    result: Tensor = _Joined.apply(part, summed)  # type: ignore[no-untyped-call]
    return result


class _Joined(torch.autograd.Function):
    """torch.distributed.nn's all_gather breaks in its backward pass on groups that are not the whole world."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, summed: bool) -> Tensor:
        ctx.summed = summed
        num_ranks = ranks()
        num_tokens = part.shape[0] * num_ranks
        gathered = part.new_empty((num_tokens, *part.shape[1:]))
        dist.all_gather_into_tensor(gathered, part.contiguous(), group=parallel_state.get_context_parallel_group())
        return torch.empty_like(gathered).index_copy_(0, _by_rank(num_tokens, part.device), gathered)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        if not ctx.summed:
            return divided(gradient, 0), None
        by_rank = gradient.index_select(0, _by_rank(gradient.shape[0], gradient.device))
        mine = by_rank.new_empty((by_rank.shape[0] // ranks(), *by_rank.shape[1:]))
        dist.reduce_scatter_tensor(mine, by_rank, group=parallel_state.get_context_parallel_group())
        return mine, None


def _by_rank(num_tokens: int, device: torch.device) -> Tensor:
    """[L]: the places of the first rank's tokens, then of the second's, and so on."""
    num_ranks = ranks()
    return torch.cat([positions(num_tokens, rank, num_ranks, device) for rank in range(num_ranks)])

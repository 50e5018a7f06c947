"""Sequences of different lengths one after the other in a single row, without padding; some begin with the same tokens.

Linear layers, norms and the output layer see one row of T tokens. Only attention sees sequences: queries, keys and
values are copied into columns padded to the longest of a group of like length, and what comes out is copied back. The
mask stays causal, so that no token can see another sequence, and padding (on the right) is seen by no token.

Where several answers to one prompt are trained on (chosen and rejected), the prompt's tokens stand in the row once: a
token's hidden state depends on what comes before it only, so it is the same under every answer. In attention they are
copied into each answer's column, and their gradients are added up.

Shapes: T tokens of the row, S sequences, P places in all columns together (their tokens and their padding).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from megatron.core.packed_seq_params import PackedSeqParams
from torch import Tensor

# A group ends where the next sequence is this much longer than its shortest: attention costs the square of a length.
_LIKE_LENGTH = 1.25
_LEAST_TOKENS = 16


@dataclass
class Packing(PackedSeqParams):  # type: ignore[misc]  # megatron carries no types here
    """Where the tokens of a row lie in the columns that attention sees. Megatron hands it through to the attention."""

    positions_T: Tensor = None  # type: ignore[assignment]  # Megatron's record gives all its fields a default
    """int64, each token's place in its sequence: what RoPE turns by"""
    sequence_T: Tensor = None  # type: ignore[assignment]
    """int64, the sequence that each token belongs to; the first of those that share it"""
    ends_S: Tensor = None  # type: ignore[assignment]
    """int64, the token that each sequence ends with"""
    tokens_P: Tensor = None  # type: ignore[assignment]
    """int64, which token stands at each place; any token where the place is padding"""
    homes_T: Tensor = None  # type: ignore[assignment]
    """int64, the place whose answer is the token's own"""
    copies_C: tuple[Tensor, Tensor] = None  # type: ignore[assignment]
    """(tokens, places): the further places of tokens that several sequences share"""
    groups: tuple[tuple[int, int], ...] = ()
    """(length, sequences) of each group of columns; its places go over the sequences first, then down the columns"""

    def on(self, device: torch.device) -> "Packing":
        """The same, with its tensors on this device."""
        if self.homes_T.device == device:
            return self
        moved = {name: getattr(self, name).to(device) for name in _TENSORS}
        return replace(self, **moved, copies_C=(self.copies_C[0].to(device), self.copies_C[1].to(device)))

    def padded(self, num_tokens: int) -> "Packing":
        """The same with so many further tokens at the row's end, a sequence that nobody asks for."""
        begin, places = len(self.positions_T), len(self.tokens_P)
        more = torch.arange(num_tokens, device=self.positions_T.device)
        longest: dict[str, Any] = {
            name: max(getattr(self, name), num_tokens) for name in ("max_seqlen_q", "max_seqlen_kv")
        }
        return replace(
            self,
            **longest,
            positions_T=torch.cat([self.positions_T, more]),
            sequence_T=torch.cat([self.sequence_T, torch.zeros_like(more)]),
            tokens_P=torch.cat([self.tokens_P, begin + more]),
            homes_T=torch.cat([self.homes_T, places + more]),
            groups=(*self.groups, (num_tokens, 1)),
        )

    def attend(
        self,
        attention: Callable[[Tensor, Tensor, Tensor], Tensor],
        query_T1ND: Tensor,
        key_T1GD: Tensor,
        value_T1GD: Tensor,
    ) -> Tensor:
        """`attention` over each group's columns [M, S, heads, D] -> [M, S, N * D]; returns [T, 1, N * D]."""
        columns = [
            _Spread.apply(tensor.squeeze(1), self.tokens_P, self.homes_T, self.copies_C)  # type: ignore[no-untyped-call]
            for tensor in (query_T1ND, key_T1GD, value_T1GD)
        ]
        sizes = [length * count for length, count in self.groups]
        found = [
            attention(*(part.view(length, count, *part.shape[1:]) for part in parts)).flatten(0, 1)
            for (length, count), *parts in zip(self.groups, *(column.split(sizes) for column in columns), strict=True)
        ]
        places = found[0] if len(found) == 1 else torch.cat(found)
        context: Tensor = _Collect.apply(places, self.homes_T)  # type: ignore[no-untyped-call]
        return context.unsqueeze(1)

    def totals(self, values_T: Tensor) -> Tensor:
        """Sums over each sequence's own tokens, [S]. Shared tokens count for the first of theirs."""
        totals_S = values_T.new_zeros(len(self.ends_S))
        return totals_S.index_add(0, self.sequence_T, values_T)


_TENSORS = ("positions_T", "sequence_T", "ends_S", "tokens_P", "homes_T")


class _Spread(torch.autograd.Function):
    """x_T -> x_T[tokens_P]. Backwards the first place of a token is read, and further ones are added: no sum over
    places that are nearly all read once, which is what autograd would do."""

    @staticmethod
    def forward(ctx: Any, values_T: Tensor, tokens_P: Tensor, homes_T: Tensor, copies: tuple[Tensor, Tensor]) -> Tensor:
        ctx.homes_T, ctx.copies = homes_T, copies
        return values_T.index_select(0, tokens_P)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient_P,) = gradients
        tokens_C, places_C = ctx.copies
        gradient_T = gradient_P.index_select(0, ctx.homes_T)
        if len(tokens_C):
            gradient_T.index_add_(0, tokens_C, gradient_P.index_select(0, places_C))
        return gradient_T, None, None, None


class _Collect(torch.autograd.Function):
    """y_P -> y_P[homes_T]; what other places said is not read, and gets no gradient."""

    @staticmethod
    def forward(ctx: Any, values_P: Tensor, homes_T: Tensor) -> Tensor:
        ctx.homes_T, ctx.num_places = homes_T, values_P.shape[0]
        return values_P.index_select(0, homes_T)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient_T,) = gradients
        gradient_P = gradient_T.new_zeros(ctx.num_places, *gradient_T.shape[1:])
        return gradient_P.index_copy_(0, ctx.homes_T, gradient_T), None


def packing(lengths: Sequence[int], shared: Sequence[int], *, group: int, num_padding: int) -> Packing:
    """How attention sees a row of sequences that come in groups of `group`.

    Those of group g begin with the same `shared[g]` tokens, which stand in the row once, before what is each one's own.
    `num_padding` further tokens at the row's end are a sequence that nobody asks for.
    """
    columns, positions, owners = _columns(lengths, shared, group)
    if num_padding:
        columns.append(np.arange(num_padding) + len(positions))
        positions = np.append(positions, np.arange(num_padding))
        owners = np.append(owners, np.zeros(num_padding, dtype=np.int64))
    homes = np.full(len(positions), -1)
    places: list[np.ndarray] = []
    copies: list[np.ndarray] = []
    shapes: list[tuple[int, int]] = []
    begin = 0
    for members in _of_like_length([len(column) for column in columns]):
        shape = (max(len(columns[member]) for member in members), len(members))
        block = np.full(shape, columns[members[0]][0])
        for across, member in enumerate(members):
            column = columns[member]
            where = begin + across + np.arange(len(column)) * len(members)
            block[: len(column), across] = column
            is_first = homes[column] < 0
            homes[column[is_first]] = where[is_first]
            copies.append(np.stack([column[~is_first], where[~is_first]]))
        places.append(block.reshape(-1))
        shapes.append(shape)
        begin += block.size
    tokens_C, places_C = np.concatenate(copies, axis=1)
    longest = max(length for length, _ in shapes)
    return Packing(
        qkv_format="sbhd",  # Megatron then leaves shapes and positions to us
        max_seqlen_q=longest,
        max_seqlen_kv=longest,
        positions_T=torch.from_numpy(positions),
        sequence_T=torch.from_numpy(owners),
        ends_S=torch.tensor([column[-1] for column in columns[: len(lengths)]]),
        tokens_P=torch.from_numpy(np.concatenate(places)),
        homes_T=torch.from_numpy(homes),
        copies_C=(torch.from_numpy(tokens_C), torch.from_numpy(places_C)),
        groups=tuple(shapes),
    )


def _columns(
    lengths: Sequence[int], shared: Sequence[int], group: int
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """The row's tokens that each sequence is made of; and of each token its place in its sequence, and whose it is."""
    columns: list[np.ndarray] = []
    positions: list[np.ndarray] = []
    owners: list[np.ndarray] = []
    begin = 0
    for number, common in enumerate(shared):
        prefix = np.arange(begin, begin + common)
        members = range(number * group, min((number + 1) * group, len(lengths)))
        positions.append(np.arange(common))
        owners.append(np.full(common, members[0]))
        begin += common
        for member in members:
            own = lengths[member] - common
            columns.append(np.concatenate([prefix, np.arange(begin, begin + own)]))
            positions.append(np.arange(common, lengths[member]))
            owners.append(np.full(own, member))
            begin += own
    return columns, np.concatenate(positions), np.concatenate(owners)


def _of_like_length(lengths: Sequence[int]) -> list[list[int]]:
    """Sequence numbers in groups, so that attention over a group's columns computes little padding."""
    groups: list[list[int]] = []
    shortest = 0
    for number in sorted(range(len(lengths)), key=lambda number: (lengths[number], number)):
        if not groups or lengths[number] > max(shortest * _LIKE_LENGTH, _LEAST_TOKENS):
            groups.append([])
            shortest = lengths[number]
        groups[-1].append(number)
    return groups

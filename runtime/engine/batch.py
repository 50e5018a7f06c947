"""One micro-batch, and how sequences of different lengths become one: side by side in one row, or padded on the right.

Shapes: B rows, L tokens of a row, S sequences: B where rows are padded, any number where one row holds them all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional

from runtime.engine.packing import Packing, packing

PADDED_TO = 8 if torch.cuda.is_available() else 2
"""Rows are padded to a multiple of this: tensor cores want 8; on a CPU every padded token is paid for."""

PACKED_TO = 8
"""The length of a row of many sequences is brought to a multiple of this: a rank or a tensor core's share is whole."""


@dataclass(frozen=True)
class Batch:
    """What one forward pass sees. Everything in `extra` has S as its first dimension, and is the objective's affair."""

    tokens_BL: Tensor
    """int64, inputs"""
    labels_BL: Tensor
    """int64, the token that follows each input"""
    loss_mask_BL: Tensor
    """float32, 1 where the label counts"""
    documents_BL: Tensor | None = None
    """int64, the document that each input belongs to, where rows hold several: a token sees its own document only"""
    packing: Packing | None = None
    """The sequences of the one row, where it holds many"""
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    """Rewards, reference log-probabilities, attributes; `lengths` (inputs of each sequence, no padding) always."""

    def totals(self, values_BL: Tensor) -> Tensor:
        """Sums over the labels that count, by sequence: [S]."""
        counted_BL = values_BL * self.loss_mask_BL.to(values_BL.device)
        if self.packing is None:
            return counted_BL.sum(dim=1)
        return self.packing.on(counted_BL.device).totals(counted_BL[0])


def pack(
    rows: Sequence[Sequence[int]],
    masks: Sequence[Sequence[int]] | None = None,
    *,
    group: int = 1,
    pad_id: int = 0,
    multiple: int = PACKED_TO,
    extra: Mapping[str, Tensor] | None = None,
) -> Batch:
    """Rows for next-token prediction one after the other, without padding; no token sees another row.

    Every `group` rows (chosen and rejected, say) that begin with the same tokens have these once, as far as none of
    them is learnt. Masks are as in `collate`. The row's length is brought to a multiple by tokens that nobody reads.
    """
    inputs, labels, wanted = _shifted(rows, masks)
    shared = [_common(inputs[first : first + group], wanted[first : first + group]) for first in _firsts(rows, group)]
    return _packed(inputs, labels, wanted, shared, group=group, pad_id=pad_id, multiple=multiple, extra=extra)


def pack_whole(
    rows: Sequence[Sequence[int]],
    *,
    group: int = 1,
    pad_id: int = 0,
    multiple: int = PACKED_TO,
    extra: Mapping[str, Tensor] | None = None,
) -> Batch:
    """Rows for a regression head one after the other: all tokens are inputs, there are no labels."""
    if not rows or min(len(row) for row in rows) == 0:
        raise ValueError("a batch needs rows, and each row a token")
    nothing = [[0] * len(row) for row in rows]
    shared = [_common(rows[first : first + group], nothing[first : first + group]) for first in _firsts(rows, group)]
    return _packed(rows, nothing, nothing, shared, group=group, pad_id=pad_id, multiple=multiple, extra=extra)


def collate(
    rows: Sequence[Sequence[int]],
    masks: Sequence[Sequence[int]] | None = None,
    *,
    pad_id: int = 0,
    multiple: int = PADDED_TO,
    extra: Mapping[str, Tensor] | None = None,
) -> Batch:
    """Rows for next-token prediction: inputs are all tokens but the last, labels all but the first.

    `masks[i][j]` is 1 where token j of row i is to be learnt (it is a label there); None learns all.
    """
    inputs, labels, wanted = _shifted(rows, masks)
    lengths = [len(row) for row in inputs]
    length = _padded_length(lengths, multiple)
    return Batch(
        tokens_BL=_padded(inputs, length, pad_id),
        labels_BL=_padded(labels, length, pad_id),
        loss_mask_BL=_padded(wanted, length, 0).float(),
        extra={"lengths": torch.tensor(lengths), **(extra or {})},
    )


def collate_whole(
    rows: Sequence[Sequence[int]],
    *,
    pad_id: int = 0,
    multiple: int = PADDED_TO,
    extra: Mapping[str, Tensor] | None = None,
) -> Batch:
    """Rows for a regression head: all tokens are inputs, there are no labels."""
    lengths = [len(row) for row in rows]
    if not lengths or min(lengths) == 0:
        raise ValueError("a batch needs rows, and each row a token")
    tokens_BL = _padded(rows, _padded_length(lengths, multiple), pad_id)
    return Batch(
        tokens_BL=tokens_BL,
        labels_BL=torch.zeros_like(tokens_BL),
        loss_mask_BL=torch.zeros(tokens_BL.shape),
        extra={"lengths": torch.tensor(lengths), **(extra or {})},
    )


_Rows = Sequence[Sequence[int]]


def _shifted(rows: _Rows, masks: _Rows | None) -> tuple[_Rows, _Rows, _Rows]:
    """(inputs, labels, which labels count) of each row."""
    if any(len(row) < 2 for row in rows):
        raise ValueError("a row for next-token prediction needs two tokens at least")
    wanted = [[1] * (len(row) - 1) for row in rows] if masks is None else [mask[1:] for mask in masks]
    for row, mask in zip(rows, wanted, strict=True):
        if len(mask) + 1 != len(row):
            raise ValueError(f"a mask of {len(mask) + 1} tokens stands beside a row of {len(row)}")
    return [row[:-1] for row in rows], [row[1:] for row in rows], wanted


def _firsts(rows: _Rows, group: int) -> range:
    return range(0, len(rows), group)


def _common(rows: _Rows, wanted: _Rows) -> int:
    """Tokens that all of these rows begin with, as far as no label beside them counts in any."""
    if len(rows) == 1:
        return 0
    count = 0
    for tokens, counts in zip(zip(*rows, strict=False), zip(*wanted, strict=False), strict=True):
        if any(counts) or any(token != tokens[0] for token in tokens):
            break
        count += 1
    return count


def _packed(
    inputs: _Rows,
    labels: _Rows,
    wanted: _Rows,
    shared: Sequence[int],
    *,
    group: int,
    pad_id: int,
    multiple: int,
    extra: Mapping[str, Tensor] | None,
) -> Batch:
    lengths = [len(row) for row in inputs]
    num_tokens = sum(lengths) - sum(
        common * (len(lengths[first : first + group]) - 1)
        for common, first in zip(shared, _firsts(inputs, group), strict=True)
    )
    num_padding = -num_tokens % multiple

    def one_row(rows: _Rows, padding: int) -> Tensor:
        pieces = [rows[number][0 if number % group == 0 else shared[number // group] :] for number in range(len(rows))]
        return torch.tensor([[*(token for piece in pieces for token in piece), *[padding] * num_padding]])

    return Batch(
        tokens_BL=one_row(inputs, pad_id),
        labels_BL=one_row(labels, pad_id),
        loss_mask_BL=one_row(wanted, 0).float(),
        packing=packing(lengths, shared, group=group, num_padding=num_padding),
        extra={"lengths": torch.tensor(lengths), **(extra or {})},
    )


def lengthened(batch: Batch, length: int) -> Batch:
    """With tokens on the right that nobody sees and that do not count."""
    missing = length - batch.tokens_BL.shape[1]
    if missing == 0:
        return batch
    tokens_BL, labels_BL, mask_BL = (
        functional.pad(rows, (0, missing)) for rows in (batch.tokens_BL, batch.labels_BL, batch.loss_mask_BL)
    )
    documents_BL = None if batch.documents_BL is None else functional.pad(batch.documents_BL, (0, missing), value=-1)
    return replace(
        batch,
        tokens_BL=tokens_BL,
        labels_BL=labels_BL,
        loss_mask_BL=mask_BL,
        documents_BL=documents_BL,
        packing=batch.packing and batch.packing.padded(missing),
    )


def _padded_length(lengths: Sequence[int], multiple: int) -> int:
    return -(-max(lengths) // multiple) * multiple


def _padded(rows: Sequence[Sequence[int]], length: int, value: int) -> Tensor:
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows], dtype=torch.int64)

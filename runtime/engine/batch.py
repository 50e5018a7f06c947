"""One micro-batch, and how rows of different lengths become one: padded on the right, to a multiple.

Shapes: B rows, L tokens after padding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

PADDED_TO = 8 if torch.cuda.is_available() else 2
"""Rows are padded to a multiple of this: tensor cores want 8; on a CPU every padded token is paid for."""


@dataclass(frozen=True)
class Batch:
    """What one forward pass sees. Everything in `extra` has B as its first dimension, and is the objective's affair."""

    tokens_BL: Tensor
    """int64, inputs"""
    labels_BL: Tensor
    """int64, the token that follows each input"""
    loss_mask_BL: Tensor
    """float32, 1 where the label counts"""
    documents_BL: Tensor | None = None
    """int64, the document that each input belongs to, where rows hold several: a token sees its own document only"""
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    """Rewards, reference log-probabilities, attributes; `lengths` (inputs of each row without padding) always."""


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
    if any(len(row) < 2 for row in rows):
        raise ValueError("a row for next-token prediction needs two tokens at least")
    inputs = [row[:-1] for row in rows]
    lengths = [len(row) for row in inputs]
    length = _padded_length(lengths, multiple)
    wanted = [[1] * n for n in lengths] if masks is None else [mask[1:] for mask in masks]
    for row, mask in zip(inputs, wanted, strict=True):
        if len(mask) != len(row):
            raise ValueError(f"a mask of {len(mask) + 1} tokens stands beside a row of {len(row) + 1}")
    return Batch(
        tokens_BL=_padded(inputs, length, pad_id),
        labels_BL=_padded([row[1:] for row in rows], length, pad_id),
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


def _padded_length(lengths: Sequence[int], multiple: int) -> int:
    return -(-max(lengths) // multiple) * multiple


def _padded(rows: Sequence[Sequence[int]], length: int, value: int) -> Tensor:
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows], dtype=torch.int64)

"""Log-probabilities of given tokens, also when the vocabulary is split over tensor-parallel ranks.

Shapes: B rows, L tokens, V vocabulary.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from megatron.core import parallel_state
from megatron.core.tensor_parallel import vocab_parallel_cross_entropy
from torch import Tensor

from runtime.engine.batch import Batch

if TYPE_CHECKING:  # model.py computes its output with token_logprobs
    from runtime.engine.model import Model


def token_logprobs(logits_LBV: Tensor, labels_BL: Tensor) -> Tensor:
    """log p(label) in float32, [B, L], from this rank's part of the logits [L, B, V / tp]."""
    num_tokens, num_rows, vocab_size = logits_LBV.shape
    labels_LB = labels_BL.transpose(0, 1)
    if parallel_state.get_tensor_model_parallel_world_size() > 1:
        # Megatron's version: three all-reduces over the ranks' parts.
        return -vocab_parallel_cross_entropy(logits_LBV.float(), labels_LB.contiguous()).transpose(0, 1)
    flat = F.cross_entropy(logits_LBV.reshape(-1, vocab_size).float(), labels_LB.reshape(-1), reduction="none")
    return -flat.view(num_tokens, num_rows).transpose(0, 1)


def batch_logprobs(model: "Model", batches: Iterable[Batch]) -> Iterator[Tensor]:
    """log p(label) [B, L] of each batch, without gradients: the reference's log-probabilities.

    Multiply by the loss mask and sum for a row's own. Runs on every rank of a tensor-parallel group alike.
    """
    if model.head is not None or len(model.chunks) > 1 or model.layout.pp > 1:
        raise ValueError("log-probabilities need a language head, and no pipeline")
    (chunk,) = model.chunks
    was_training = chunk.training
    chunk.eval()
    try:
        for batch in batches:
            with torch.no_grad():
                logprobs_BL: Tensor = chunk(batch.tokens_BL, None, None, labels=batch.labels_BL)
            yield logprobs_BL
    finally:
        chunk.train(was_training)

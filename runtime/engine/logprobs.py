"""What a model says about given rows, without gradients: log-probabilities, or values of a regression head.

Shapes: B rows, L tokens, K outputs of the head. All ranks of a tensor-parallel group call these alike.
"""

import torch
from torch import Tensor, nn

from runtime.engine.attention import document_mask
from runtime.engine.batch import Batch
from runtime.engine.model import Model


def batch_logprobs(model: Model, batch: Batch) -> Tensor:
    """log p(label), float32 [B, L], of every label, whether it counts or not."""
    if model.head is not None:
        raise ValueError("log-probabilities need a language head; this model has a regression head")
    return _forward_only(model, batch)


def sequence_logprobs(model: Model, batch: Batch) -> Tensor:
    """Sum of log p over the labels that count, float32 [B]: a reference's log-probability of an answer."""
    return (batch_logprobs(model, batch) * batch.loss_mask_BL).sum(dim=1)


def values(model: Model, batch: Batch) -> Tensor:
    """The regression head's outputs at each row's last token, float32 [B, K]."""
    if model.head is None:
        raise ValueError("values need a regression head; this model has a language head")
    return _forward_only(model, batch)


def forward(model: Model, chunk: nn.Module, batch: Batch) -> Tensor:
    """log p(label) [B, L], regression values [B, L, K], or the hidden states of a stage that is not the last."""
    mask = None
    if batch.documents_BL is not None:
        mask = document_mask(batch.documents_BL, model.config.params_dtype)
    outputs: Tensor = chunk(batch.tokens_BL, None, mask, labels=batch.labels_BL if model.head is None else None)
    return outputs


def pick(model: Model, outputs: Tensor, batch: Batch) -> Tensor:
    """What an objective sees of them: log-probabilities as they are, of values those at the last token, [B, K]."""
    if model.head is None:
        return outputs
    lengths_B = batch.extra["lengths"].to(outputs.device)
    return outputs[torch.arange(len(lengths_B), device=outputs.device), lengths_B - 1].float()


def _forward_only(model: Model, batch: Batch) -> Tensor:
    if len(model.chunks) > 1 or model.layout.pp > 1:
        raise ValueError(f"a forward pass alone does not run on a pipeline (pp={model.layout.pp})")
    (chunk,) = model.chunks
    was_training = chunk.training
    chunk.eval()
    try:
        with torch.no_grad():
            return pick(model, forward(model, chunk, batch), batch)
    finally:
        chunk.train(was_training)

"""log p of given tokens from logits, also when the vocabulary is split over tensor-parallel ranks."""

from megatron.core import parallel_state
from megatron.core.tensor_parallel import vocab_parallel_cross_entropy
from torch import Tensor
from torch.nn import functional


def token_logprobs(logits_LBV: Tensor, labels_BL: Tensor) -> Tensor:
    """log p(label) in float32, [B, L], from this rank's part of the logits [L, B, V / tp]."""
    num_tokens, num_rows, vocab_size = logits_LBV.shape
    labels_LB = labels_BL.transpose(0, 1)
    if parallel_state.get_tensor_model_parallel_world_size() > 1:
        # Megatron's version: three all-reduces over the ranks' parts.
        losses_LB: Tensor = vocab_parallel_cross_entropy(logits_LBV.float(), labels_LB.contiguous())
        return -losses_LB.transpose(0, 1)
    losses = functional.cross_entropy(
        logits_LBV.reshape(-1, vocab_size).float(), labels_LB.reshape(-1), reduction="none"
    )
    return -losses.view(num_tokens, num_rows).transpose(0, 1)

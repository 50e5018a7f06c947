"""LayerNorm1P, LayerNorm and RMSNorm for CPU: Megatron's local layer spec has none with zero-centred gamma.

WrappedTorchNorm (megatron-core 0.16.1, transformer/torch_norm.py:26) asserts on it, and on sequence parallelism.
"""

import torch
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor, nn
from torch.nn import functional


class Norm(nn.Module):
    """Normalises the last dimension. With zero-centred gamma the scale is 1 + weight, so weight decay pulls it to 1."""

    def __init__(self, config: TransformerConfig, hidden_size: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.is_rms = config.normalization == "RMSNorm"
        self.zero_centered = bool(config.layernorm_zero_centered_gamma)
        start = torch.zeros if self.zero_centered else torch.ones
        self.weight = nn.Parameter(start(hidden_size, dtype=config.params_dtype))
        self.bias = None if self.is_rms else nn.Parameter(torch.zeros(hidden_size, dtype=config.params_dtype))
        for parameter in self.parameters():
            # Tells finalize_model_grads to sum this gradient over the tensor-parallel ranks.
            parameter.sequence_parallel = config.sequence_parallel  # type: ignore[attr-defined]

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., H] -> [..., H]."""
        scale = self.weight + 1 if self.zero_centered else self.weight
        if self.is_rms:
            return functional.rms_norm(hidden, scale.shape, scale, self.eps)
        return functional.layer_norm(hidden, scale.shape, scale, self.bias, self.eps)

"""Exact parameter counts from a model record, and how its FLOPs are counted."""

from typing import NamedTuple

from compiler.schema.model import ModelSpec

FLOPS_FORMULA = "full attention: 6*T*(L*GEMM weights + h*V) + 12*L*s*T*(n*d)"
"""Of `ModelSpec.training_flops`, in words."""


class Parameters(NamedTuple):
    """Counts; `embedding` holds input and output embedding (one matrix when they are tied)."""

    embedding: int
    non_embedding: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.embedding + self.non_embedding


def count_parameters(model: ModelSpec) -> Parameters:
    """Exact, as the engine builds it; Nemotron-4 340B gives 9,437,184,000 + 331,592,011,776."""
    hidden = model.hidden_size
    norm = hidden if model.normalization == "rmsnorm" else 2 * hidden
    width = model.num_attention_heads * model.head_dim
    key_value_width = model.num_query_groups * model.head_dim
    gate = 2 if model.gated else 1
    biases = (width + 2 * key_value_width + hidden + gate * model.ffn_hidden_size + hidden) if model.linear_bias else 0
    if model.qkv_bias and not model.linear_bias:
        biases = width + 2 * key_value_width
    head_norms = 2 * model.head_dim * (norm // hidden) if model.qk_norm else 0
    layer = model.gemm_weights_per_layer + 2 * norm + biases + head_norms
    matrices = 1 if model.tie_embeddings else 2
    return Parameters(matrices * model.vocab_size * hidden, model.num_layers * layer + norm)

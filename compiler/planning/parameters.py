"""Exact parameter counts and model FLOPs from a model record."""

from typing import NamedTuple

from compiler.schema.model import ModelSpec

FLOPS_FORMULA = "full attention: 6*T*(L*GEMM weights + h*V) + 12*L*s*T*(n*d)"


class Parameters(NamedTuple):
    """Counts; `embedding` holds input and output embedding (one matrix when they are tied)."""

    embedding: int
    non_embedding: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.embedding + self.non_embedding


def gemm_weights_per_layer(model: ModelSpec) -> int:
    """Weights of one layer's linear maps: attention 2h(nd) + 2h(kd), MLP 2hf, or 3hf when gated."""
    width = model.num_attention_heads * model.head_dim
    key_value_width = model.num_query_groups * model.head_dim
    matrices = 3 if model.gated else 2
    return model.hidden_size * (2 * width + 2 * key_value_width + matrices * model.ffn_hidden_size)


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
    layer = gemm_weights_per_layer(model) + 2 * norm + biases + head_norms
    matrices = 1 if model.tie_embeddings else 2
    return Parameters(matrices * model.vocab_size * hidden, model.num_layers * layer + norm)


def training_flops(model: ModelSpec, tokens: int, seq_length: int) -> float:
    """Model FLOPs of training on so many tokens in sequences of seq_length, as the Nemotron-4 340B report counts them.

    F = 6 T (L * GEMM + h V) + 12 L s T n d (Narayanan et al., arXiv 2104.04473, appendix): 2 FLOPs a multiply-add,
    times 3 for forward and both gradients. Attention's two s x s products count whole, masked or not: this is the
    formula by which the report's table 2 has MFUs of 42.4, 42.3 and 41.0 %. Recomputation, softmax, norms and look-ups
    are not counted.
    """
    width = model.num_attention_heads * model.head_dim
    linear = model.num_layers * gemm_weights_per_layer(model) + model.hidden_size * model.vocab_size
    return 6.0 * tokens * linear + 12.0 * model.num_layers * seq_length * tokens * width

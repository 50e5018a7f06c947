"""What a model is: the shape of a GPT and the precision it computes in."""

from typing import Literal

from pydantic import Field

from compiler.schema.base import Count, Positive, Record, Share


class ModelSpec(Record):
    """A decoder-only transformer, in Megatron-core's words."""

    num_layers: Count
    hidden_size: Count
    ffn_hidden_size: Count
    num_attention_heads: Count
    num_query_groups: Count
    """Key/value heads (grouped-query attention); equal to num_attention_heads for full multi-head attention."""
    kv_channels: Count | None = None
    """Width of one head; hidden_size / num_attention_heads where absent."""
    vocab_size: Count
    """Rows of the embedding; the tokenizer must not have more tokens than this."""
    seq_length: Count
    """Longest sequence in tokens, prompt and answer together."""
    activation: Literal["squared_relu", "swiglu", "gelu"]
    normalization: Literal["layernorm1p", "layernorm", "rmsnorm"]
    """layernorm1p is LayerNorm with zero-centred gamma: scale = 1 + gamma."""
    norm_epsilon: Positive
    rotary_percent: Share
    """Share of each head's channels that RoPE turns."""
    rotary_base: Count
    linear_bias: bool
    tie_embeddings: bool
    init_std: Positive
    """Standard deviation of the initial weights; output projections get init_std / sqrt(2 * num_layers)."""

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.kv_channels or self.hidden_size // self.num_attention_heads


class Precision(Record):
    """What the stage computes in. Part of identity."""

    dtype: Literal["fp32", "bf16"]
    """Of parameters and activations; with bf16, Megatron's optimizer keeps fp32 main parameters and gradients."""


class Layout(Record):
    """How a stage is laid over ranks, in Megatron's words. Placement: never part of identity."""

    tp: int = Field(1, ge=1)
    """tensor parallel"""
    pp: int = Field(1, ge=1)
    """pipeline parallel"""
    vpp: int = Field(1, ge=1)
    """virtual pipeline stages on each rank"""
    cp: int = Field(1, ge=1)
    """context parallel"""
    dp: int = Field(1, ge=1)
    """data parallel"""

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return self.tp * self.pp * self.cp * self.dp

"""What a model is: the shape of a GPT and the precision it computes in."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from compiler.schema.base import Count, Positive, Record, Share


class ModelSpec(Record):
    """A decoder-only transformer, in Megatron-core's words."""

    num_layers: Count
    """Transformer layers."""
    hidden_size: Count
    """Width of the residual stream."""
    ffn_hidden_size: Count
    """Width inside the MLP."""
    num_attention_heads: Count
    """Query heads."""
    num_query_groups: Count
    """Key/value heads (grouped-query attention); equal to num_attention_heads for full multi-head attention."""
    kv_channels: Count | None = None
    """Width of one head; hidden_size / num_attention_heads where absent."""
    vocab_size: Count
    """Rows of the embedding; the tokenizer must not have more tokens than this."""
    seq_length: Count
    """Longest sequence in tokens, prompt and answer together."""
    activation: Literal["squared_relu", "relu", "gelu", "swiglu", "geglu"]
    """Of the MLP; swiglu and geglu have a gate, a third matrix."""
    normalization: Literal["layernorm1p", "layernorm", "rmsnorm"]
    """layernorm1p is LayerNorm with zero-centred gamma: scale = 1 + gamma."""
    norm_epsilon: Positive
    """Added to the variance."""
    rotary_percent: Share
    """Share of each head's channels that RoPE turns."""
    rotary_base: Count
    """Base of RoPE's wavelengths."""
    rotary_scaling: Positive | None = None
    """Llama 3's stretching of long wavelengths, by this factor; none where absent."""
    linear_bias: bool
    """Of all linear layers."""
    qkv_bias: bool = False
    """Of the projections to queries, keys and values alone (Qwen 2)."""
    qk_norm: bool = False
    """Normalize each head's queries and keys (Qwen 3)."""
    tie_embeddings: bool
    """Input and output embedding are one matrix."""
    init_std: Positive
    """Standard deviation of the initial weights; output projections get init_std / sqrt(2 * num_layers)."""

    @property
    def gated(self) -> bool:
        """Whether the MLP has a third matrix, the gate."""
        return self.activation in ("swiglu", "geglu")

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.kv_channels or self.hidden_size // self.num_attention_heads

    @property
    def gemm_weights_per_layer(self) -> int:
        """Weights of one layer's linear maps: attention 2h(nd) + 2h(kd), MLP 2hf, or 3hf when gated."""
        width = self.num_attention_heads * self.head_dim
        key_value_width = self.num_query_groups * self.head_dim
        matrices = 3 if self.gated else 2
        return self.hidden_size * (2 * width + 2 * key_value_width + matrices * self.ffn_hidden_size)

    def training_flops(self, tokens: int, seq_length: float) -> float:
        """Model FLOPs of training on so many tokens in sequences of seq_length, as the Nemotron-4 340B report counts.

        F = 6 T (L * GEMM + h V) + 12 L s T n d (Narayanan et al., arXiv 2104.04473, appendix): 2 FLOPs a multiply-add,
        times 3 for forward and both gradients. Attention's two s x s products count whole, masked or not: this is the
        formula by which the report's table 2 has MFUs of 42.4, 42.3 and 41.0 %. Recomputation, softmax, norms and
        look-ups are not counted.
        """
        width = self.num_attention_heads * self.head_dim
        linear = self.num_layers * self.gemm_weights_per_layer + self.hidden_size * self.vocab_size
        return 6.0 * tokens * linear + 12.0 * self.num_layers * seq_length * tokens * width


class _FP8(Record):
    format: Literal["hybrid", "e4m3"]
    """hybrid: E4M3 forward, E5M2 for gradients."""
    bf16_first_layers: Annotated[int, Field(ge=0)]
    """First layers that stay in bf16."""
    bf16_last_layers: Annotated[int, Field(ge=0)]
    """Last layers that stay in bf16."""
    param_gather: bool
    """Keep parameters in FP8 and gather them so over data-parallel ranks."""
    emulate: bool
    """Round as FP8 would, multiply in fp32 and go on in the stage's dtype: shows a recipe's effect without FP8."""

    @model_validator(mode="after")
    def _can_be_emulated(self) -> "_FP8":
        if self.emulate and self.param_gather:
            raise ValueError("what is emulated gathers no FP8 parameters: write `param_gather: false`")
        return self


class DelayedScaling(_FP8):
    """One scale per tensor, from the largest values of earlier steps."""

    kind: Literal["delayed"]
    margin: Annotated[int, Field(ge=0)]
    """Powers of two kept free above the largest value."""
    amax_history: Count
    """Steps looked back: on a GPU micro-batches, as Transformer Engine counts; emulated, optimizer steps."""
    amax_algorithm: Literal["max", "most_recent"]
    """What of the history counts."""

    @model_validator(mode="after")
    def _all_layers(self) -> "DelayedScaling":
        if not self.emulate and self.bf16_first_layers + self.bf16_last_layers:
            raise ValueError("delayed scaling is of all layers: write 0 `bf16_first_layers` and `bf16_last_layers`")
        return self


class TensorwiseScaling(_FP8):
    """One scale per tensor, from its own largest value."""

    kind: Literal["tensorwise"]


class BlockwiseScaling(_FP8):
    """Weights by blocks of 128 x 128, activations by 1 x 128."""

    kind: Literal["blockwise"]


class MXFP8Scaling(_FP8):
    """Blocks of 32 with power-of-two scales (Blackwell)."""

    kind: Literal["mxfp8"]


FP8 = Annotated[
    DelayedScaling | TensorwiseScaling | BlockwiseScaling | MXFP8Scaling,
    Field(discriminator="kind"),
]


class Precision(Record):
    """What the stage computes in. Part of identity."""

    dtype: Literal["fp32", "bf16"]
    """Of parameters and activations; with bf16, Megatron's optimizer keeps fp32 main parameters and gradients. The
    artifact holds those parameters, and a stage that trains it further begins with them."""
    fp8: FP8 | None = None
    """Linear layers in FP8, with bf16 around them; none where absent."""

    @model_validator(mode="after")
    def _fp8_fits(self) -> "Precision":
        if self.fp8 and self.dtype != "bf16" and not self.fp8.emulate:
            raise ValueError("FP8 stands inside bf16 training: write `dtype: bf16`, or `emulate: true`")
        return self


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

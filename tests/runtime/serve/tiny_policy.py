"""What the tests serve: its shape, and as clients call it."""

from compiler.schema.model import ModelSpec

NAME = "tiny random"
SPEC = ModelSpec(
    num_layers=2, hidden_size=32, ffn_hidden_size=64, num_attention_heads=4, num_query_groups=2, vocab_size=384,
    seq_length=256, activation="swiglu", normalization="rmsnorm", norm_epsilon=1e-5, rotary_percent=1.0,
    rotary_base=10_000, linear_bias=False, tie_embeddings=False, init_std=0.4,
)  # fmt: skip

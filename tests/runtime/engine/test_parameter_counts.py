"""What the plan says a model has is what the engine builds."""

import pytest

from compiler.planning.parameters import count_parameters
from compiler.schema.model import ModelSpec
from runtime.engine.model import num_parameters

SHAPE = {
    "num_layers": 3, "hidden_size": 64, "ffn_hidden_size": 160, "num_attention_heads": 4, "num_query_groups": 2,
    "vocab_size": 120, "seq_length": 32, "activation": "squared_relu", "normalization": "layernorm1p",
    "norm_epsilon": 1e-5, "rotary_percent": 0.5, "rotary_base": 10_000, "linear_bias": False, "tie_embeddings": False,
    "init_std": 0.02,
}  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"activation": "swiglu", "normalization": "rmsnorm"},
        {"linear_bias": True},
        {"tie_embeddings": True, "num_query_groups": 4},
        {"kv_channels": 24},
        {"activation": "geglu", "qkv_bias": True},
        {"qkv_bias": True, "linear_bias": True},
        {"qk_norm": True},
        {"qk_norm": True, "normalization": "rmsnorm", "kv_channels": 24},
    ],
    ids=str,
)
def test_the_plan_counts_what_the_engine_builds(changes: dict[str, object]) -> None:
    spec = ModelSpec.model_validate({**SHAPE, **changes})
    assert count_parameters(spec).total == num_parameters(spec)

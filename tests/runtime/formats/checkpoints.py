"""Small shapes that transformers has classes for, and how such a model gets in and out of the engine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compiler.schema.model import Layout, ModelSpec, Precision
from runtime.engine.model import Model, build
from runtime.engine.whole import put_weights
from runtime.formats.weights import Weights

LLAMA = ModelSpec(
    num_layers=2,
    hidden_size=64,
    ffn_hidden_size=96,
    num_attention_heads=4,
    num_query_groups=2,
    vocab_size=96,
    seq_length=64,
    activation="swiglu",
    normalization="rmsnorm",
    norm_epsilon=1e-5,
    rotary_percent=1.0,
    rotary_base=10_000,
    linear_bias=False,
    tie_embeddings=True,
    init_std=0.05,
)
SHAPES = {
    "llama": LLAMA,
    "llama, untied, with biases": LLAMA.model_copy(update={"tie_embeddings": False, "linear_bias": True}),
    "llama 3": LLAMA.model_copy(update={"rotary_scaling": 8.0, "rotary_base": 500_000, "kv_channels": 24}),
    "geglu": LLAMA.model_copy(update={"activation": "geglu"}),
    "qwen2": LLAMA.model_copy(update={"qkv_bias": True}),
    "qwen3": LLAMA.model_copy(update={"qk_norm": True, "kv_channels": 32, "tie_embeddings": False}),
    "nemotron": LLAMA.model_copy(
        update={
            "activation": "squared_relu",
            "normalization": "layernorm1p",
            "rotary_percent": 0.5,
            "tie_embeddings": False,
        }
    ),
}


def theirs(config: dict[str, Any], *, seed: int = 1) -> Any:
    """A model of transformers with weights that no convention leaves at their ideal values."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    known = {name: value for name, value in config.items() if name not in ("architectures", "model_type")}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(config["model_type"], **known))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model.float().eval()


def ours(spec: ModelSpec, weights: Weights) -> Model:
    weights.check(spec)
    model = build(spec, Layout(), Precision(dtype="fp32"), seed=5)
    put_weights(model, weights.find)
    return model


def logits(model: Model, tokens: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.chunks[0].eval()(tokens, None, None)
    return found


def their_logits(model: Any, tokens: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(tokens).logits
    return found


def some_tokens(spec: ModelSpec, *, rows: int = 3, length: int = 40) -> Tensor:
    return torch.randint(0, spec.vocab_size, (rows, length), generator=torch.Generator().manual_seed(2))


def files(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())

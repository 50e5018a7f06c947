"""Hugging Face's folders of decoders: `config.json`, safetensors in one file or several; read, and written.

Nothing is ever unpickled: a checkpoint that has its weights in a pickle is refused by the file's name.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from compiler.schema.model import ModelSpec
from runtime.formats.weights import PlainWeights

CONFIG = "config.json"
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
_BUFFERS = ("rotary_emb.inv_freq", ".masked_bias")
"""Ends of names of tensors that older files hold and that are no weights."""

_LLAMA_3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""What the engine's stretched RoPE takes for given beside the factor."""

_GATED = {"silu": "swiglu", "gelu": "geglu"}
_UNGATED = {"relu2": "squared_relu", "relu": "relu", "gelu": "gelu"}
_ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "nemotron": "NemotronForCausalLM",
}


def open_weights(files: Sequence[Path]) -> PlainWeights:
    """What these files hold; raises ValueError for what is no such checkpoint."""
    pickles = [path.name for path in files if path.suffix in _PICKLES]
    if pickles:
        raise ValueError(f"{pickles[0]} is a pickle, which can run code when it is read: give the safetensors files")
    configs = [path for path in files if path.name == CONFIG]
    shards = [path for path in files if path.suffix == ".safetensors"]
    if len(configs) != 1 or not shards:
        raise ValueError(f"`files` must name one {CONFIG} and the safetensors, not {[path.name for path in files]}")
    places: dict[str, Path] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for shard in shards:
        for name, shape in _header(shard):
            if name in places:
                raise ValueError(f"{name} is in {places[name].name} and in {shard.name}")
            places[name], shapes[name] = shard, shape
    try:
        said = _said(_read_config(configs[0]))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{CONFIG} is damaged: {type(error).__name__}: {error}") from None
    if said["tie_embeddings"]:
        # Some programs write the tied matrix under both names.
        shapes.pop("lm_head.weight", None)
    return PlainWeights(said, shapes, lambda name: _read(places[name], name))


def write_weights(tensors: Iterable[tuple[str, Tensor]], folder: Path, *, most_bytes: int) -> None:
    """Writes tensors in files of at most so many bytes (a larger tensor has one of its own); with an index, if there
    are several files."""
    shards = list(_write_shards(tensors, folder, most_bytes))
    if len(shards) == 1:
        shards[0][0].rename(folder / _WEIGHTS)
        return
    places: dict[str, str] = {}
    for number, (path, names) in enumerate(shards, 1):
        final = f"model-{number:05}-of-{len(shards):05}.safetensors"
        path.rename(folder / final)
        places.update(dict.fromkeys(names, final))
    size = sum((folder / name).stat().st_size for name in set(places.values()))
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(places.items()))}
    (folder / _INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def config_of(spec: ModelSpec, *, dtype: str, end_id: int, pad_id: int) -> dict[str, Any]:
    """`config.json` of this shape, with weights of a dtype of torch; ValueError where transformers has no class."""
    kind = _model_type(spec)
    activations = _GATED if spec.gated else _UNGATED
    config: dict[str, Any] = {
        "architectures": [_ARCHITECTURES[kind]],
        "model_type": kind,
        "torch_dtype": dtype,
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.hidden_size,
        "intermediate_size": spec.ffn_hidden_size,
        "num_hidden_layers": spec.num_layers,
        "num_attention_heads": spec.num_attention_heads,
        "num_key_value_heads": spec.num_query_groups,
        "head_dim": spec.head_dim,
        "hidden_act": next(theirs for theirs, ours in activations.items() if ours == spec.activation),
        "max_position_embeddings": spec.seq_length,
        "rope_theta": float(spec.rotary_base),
        "tie_word_embeddings": spec.tie_embeddings,
        "initializer_range": spec.init_std,
        "use_cache": True,
        "bos_token_id": None,
        "eos_token_id": end_id,
        "pad_token_id": pad_id,
    }
    if kind == "nemotron":
        config |= {"norm_eps": spec.norm_epsilon, "partial_rotary_factor": spec.rotary_percent}
    else:
        config["rms_norm_eps"] = spec.norm_epsilon
    if kind in ("llama", "nemotron"):
        config |= {"attention_bias": spec.linear_bias, "mlp_bias": spec.linear_bias}
    if spec.rotary_scaling is not None:
        config["rope_scaling"] = {"rope_type": "llama3", "factor": spec.rotary_scaling, **_LLAMA_3}
    return config


def _model_type(spec: ModelSpec) -> str:
    if spec.normalization == "layernorm1p":
        return "nemotron"
    if spec.normalization != "rmsnorm" or not spec.gated:
        raise ValueError(f"transformers has no class for {spec.activation} with {spec.normalization}")
    return "qwen3" if spec.qk_norm else "qwen2" if spec.qkv_bias else "llama"


def _read_config(path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} is no JSON: {error}") from None
    if not isinstance(config, dict):
        raise ValueError(f"{path.name} holds no JSON object")
    return config


def _said(config: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of ModelSpec. What a config leaves out has the value of its class in transformers."""
    kind = config.get("model_type")
    if kind not in _ARCHITECTURES:
        raise ValueError(f"{CONFIG} is of model_type {kind!r}; readable are {', '.join(_ARCHITECTURES)}")
    if config.get("use_sliding_window") or "sliding_attention" in (config.get("layer_types") or ()):
        raise ValueError("the model looks through a sliding window, which the engine does not have")
    nemotron = kind == "nemotron"
    heads = _number(config, "num_attention_heads")
    rope = config.get("rope_parameters") or {}
    activation = (_UNGATED if nemotron else _GATED).get(config.get("hidden_act", "relu2" if nemotron else "silu"))
    if activation is None:
        raise ValueError(f"the engine has no activation like {config['hidden_act']!r}")
    biased = {bool(config.get(name, False)) for name in ("attention_bias", "mlp_bias")}
    if kind in ("qwen2", "qwen3"):
        biased = {bool(kind == "qwen3" and config.get("attention_bias", False))}
    if len(biased) > 1 or (kind == "qwen3" and True in biased):
        raise ValueError("attention and MLP differ in their biases, which the engine's layers do not")
    return {
        "num_layers": _number(config, "num_hidden_layers"),
        "hidden_size": _number(config, "hidden_size"),
        "ffn_hidden_size": _number(config, "intermediate_size"),
        "num_attention_heads": heads,
        "num_query_groups": config.get("num_key_value_heads") or heads,
        "head_dim": config.get("head_dim") or _number(config, "hidden_size") // heads,
        "vocab_size": _number(config, "vocab_size"),
        "seq_length": _number(config, "max_position_embeddings"),
        "activation": activation,
        "normalization": "layernorm1p" if nemotron else "rmsnorm",
        "norm_epsilon": float(config.get("norm_eps", 1e-5) if nemotron else config.get("rms_norm_eps", 1e-6)),
        "rotary_percent": float(_of_rope(config, rope, "partial_rotary_factor", 0.5 if nemotron else 1.0)),
        "rotary_base": float(_of_rope(config, rope, "rope_theta", 10_000.0)),
        "rotary_scaling": _scaling(config.get("rope_scaling") or rope),
        "linear_bias": True in biased,
        "qkv_bias": kind == "qwen2",
        "qk_norm": kind == "qwen3",
        "tie_embeddings": bool(config.get("tie_word_embeddings", False)),
    }


def _of_rope(config: Mapping[str, Any], rope: Mapping[str, Any], name: str, otherwise: float) -> Any:
    """Since version 5 transformers keeps these in `rope_parameters`."""
    return rope.get(name, config.get(name, otherwise))


def _number(config: Mapping[str, Any], name: str) -> int:
    value = config.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{CONFIG} says {name} is {value!r}, which is no count")
    return value


def _scaling(rope: Mapping[str, Any]) -> float | None:
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return None
    if kind == "llama3" and all(float(rope.get(name, value)) == value for name, value in _LLAMA_3.items()):
        return float(rope["factor"])
    raise ValueError(f"the engine cannot stretch RoPE as {CONFIG} says: {json.dumps(dict(rope))}")


def _header(shard: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    try:
        with safe_open(shard, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - no mapping, whatever it looks like
                if not name.endswith(_BUFFERS):
                    yield name, tuple(tensors.get_slice(name).get_shape())
    except SafetensorError as error:
        raise ValueError(f"{shard.name} is no whole safetensors file: {error}") from None


def _read(shard: Path, name: str) -> Tensor:
    with safe_open(shard, framework="pt") as tensors:
        tensor: Tensor = tensors.get_tensor(name)
        return tensor


def _write_shards(
    tensors: Iterable[tuple[str, Tensor]], folder: Path, most_bytes: int
) -> Iterator[tuple[Path, list[str]]]:
    held: dict[str, Tensor] = {}
    count = 0
    for name, tensor in tensors:
        size = sum(one.nbytes for one in held.values())
        if held and size + tensor.nbytes > most_bytes:
            yield _write(held, folder, count)
            held, count = {}, count + 1
        held[name] = tensor
    yield _write(held, folder, count)


def _write(tensors: dict[str, Tensor], folder: Path, number: int) -> tuple[Path, list[str]]:
    path = folder / f".shard-{number}"
    # Copies: parts of one weight share its memory, which the format does not allow.
    whole = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
    save_file(whole, path, metadata={"format": "pt"})
    path.chmod(0o644)  # the package leaves it to its owner alone
    return path, list(whole)

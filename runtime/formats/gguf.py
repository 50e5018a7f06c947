"""GGUF, the one-file format of llama.cpp: weights of any quantisation that its Python package undoes, in float32.

Two things are undone: converters lay the rows of queries and keys of `llama` for RoPE of neighbouring channels, and
write the norms of `nemotron` as 1 + gamma.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader, ReaderTensor, dequantize
from torch import Tensor

from runtime.formats.weights import PlainWeights

_MAGIC = b"GGUF"
_LARGEST_COUNT = 1 << 20
"""No model has more tensors or entries of metadata; an absurd count is refused before anything is looped over."""

_ACTIVATIONS = {"llama": "swiglu", "qwen2": "swiglu", "qwen3": "swiglu", "nemotron": "squared_relu"}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_STRETCH = "rope_freqs.weight"


def open_file(files: Sequence[Path]) -> GGUFReader:
    """The parsed header of the one file there is; raises ValueError for what is no GGUF file."""
    if len(files) != 1:
        raise ValueError(f"a GGUF model is one file, not {len(files)}: {[path.name for path in files]}")
    (file,) = files
    with file.open("rb") as stream:
        head = stream.read(24)
    counts = np.frombuffer(head[8:24], dtype="<u8")
    if head[:4] != _MAGIC or len(counts) != 2:
        raise ValueError(f"{file.name} is no GGUF file")
    if counts.max() > _LARGEST_COUNT:
        raise ValueError(f"{file.name} claims {counts[0]} tensors and {counts[1]} entries: it is damaged, or a trap")
    try:
        return GGUFReader(file)
    except Exception as error:  # the package checks nothing: a cut file ends in whatever numpy says first
        raise ValueError(f"{file.name} is damaged or cut short: {type(error).__name__}: {error}") from None


def open_weights(files: Sequence[Path]) -> PlainWeights:
    """What the file holds; raises ValueError for an architecture that the engine does not know."""
    reader = open_file(files)
    kind = entry(reader, "general.architecture")
    if kind not in _ACTIVATIONS:
        raise ValueError(f"{files[0].name} is of architecture {kind!r}; readable are {', '.join(_ACTIVATIONS)}")
    tensors = {_plain(tensor.name): tensor for tensor in reader.tensors if tensor.name != _STRETCH}
    stretched = [tensor for tensor in reader.tensors if tensor.name == _STRETCH]
    try:
        said = _said(reader, kind, tensors)
    except (TypeError, ZeroDivisionError) as error:
        raise ValueError(f"{files[0].name} is damaged, or differs from layer to layer: {error}") from None
    undo = _undoing(kind, said)
    shapes = {name: tuple(int(size) for size in reversed(tensor.shape)) for name, tensor in tensors.items()}

    def read(name: str) -> Tensor:
        return undo(name, torch.from_numpy(_values(tensors[name])))

    if stretched:
        said["rotary_scaling"] = float(np.max(_values(stretched[0])))
    return PlainWeights(said, shapes, read)


def entry(reader: GGUFReader, name: str, otherwise: Any = None) -> Any:
    """One entry of the metadata as a Python value."""
    field = reader.get_field(name)
    return otherwise if field is None else field.contents()


def _values(tensor: ReaderTensor) -> np.ndarray:
    try:
        return np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
    except NotImplementedError:
        raise ValueError(f"{tensor.name} is quantised as {tensor.tensor_type.name}, which cannot be undone") from None


def _said(reader: GGUFReader, kind: str, tensors: Mapping[str, ReaderTensor]) -> dict[str, Any]:
    def of(name: str, otherwise: Any = None) -> Any:
        value = entry(reader, f"{kind}.{name}", otherwise)
        if value is None:
            raise ValueError(f"the file does not say {kind}.{name}")
        return value

    nemotron = kind == "nemotron"
    heads = of("attention.head_count")
    head_dim = of("attention.key_length", of("embedding_length") // heads)
    epsilon = "attention.layer_norm_epsilon" if nemotron else "attention.layer_norm_rms_epsilon"
    return {
        "num_layers": of("block_count"),
        "hidden_size": of("embedding_length"),
        "ffn_hidden_size": of("feed_forward_length"),
        "num_attention_heads": heads,
        "num_query_groups": of("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "seq_length": of("context_length"),
        "activation": _ACTIVATIONS[kind],
        "normalization": "layernorm1p" if nemotron else "rmsnorm",
        "norm_epsilon": float(of(epsilon)),
        "rotary_percent": of("rope.dimension_count", head_dim) / head_dim,
        "rotary_base": float(of("rope.freq_base", 10_000.0)),
        "rotary_scaling": None,
        "qkv_bias": kind == "qwen2",
        "qk_norm": kind == "qwen3",
        "tie_embeddings": "lm_head.weight" not in tensors,
    }


def _plain(name: str) -> str:
    """`blk.0.attn_q.weight` -> `model.layers.0.self_attn.q_proj.weight`; an unknown name stays and is refused later."""
    stem, _, end = name.rpartition(".")
    if stem in _TOP:
        return f"{_TOP[stem]}.{end}"
    block, _, rest = stem.removeprefix("blk.").partition(".")
    if stem.startswith("blk.") and rest in _LAYER:
        return f"model.layers.{block}.{_LAYER[rest]}.{end}"
    return name


def _undoing(kind: str, said: Mapping[str, Any]) -> Callable[[str, Tensor], Tensor]:
    heads = {"q_proj": said["num_attention_heads"], "k_proj": said["num_query_groups"]}

    def undo(name: str, tensor: Tensor) -> Tensor:
        part = name.split(".")[-2]
        if kind == "llama" and part in heads:
            # [head, channel of a half, half] -> [head, half, channel of a half]
            return tensor.view(heads[part], -1, 2, *tensor.shape[1:]).transpose(1, 2).reshape(tensor.shape)
        if kind == "nemotron" and name.endswith("norm.weight"):
            return tensor - 1
        return tensor

    return undo

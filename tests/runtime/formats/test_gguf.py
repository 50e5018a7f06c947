import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from checkpoints import SHAPES, logits, ours, some_tokens, their_logits, theirs
from torch import Tensor

from compiler.schema.model import ModelSpec
from runtime.formats.gguf import open_weights
from runtime.formats.huggingface import config_of

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def as_llama_cpp_writes(spec: ModelSpec, kind: str, name: str, tensor: Tensor) -> Tensor:
    if kind == "llama" and (".q_proj." in name or ".k_proj." in name):
        heads = spec.num_attention_heads if ".q_proj." in name else spec.num_query_groups
        halves = tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:])
        return halves.swapaxes(1, 2).reshape(tensor.shape)
    if kind == "nemotron" and name.endswith("norm.weight"):
        return tensor + 1
    return tensor


def stretching(spec: ModelSpec) -> Tensor:
    """What llama.cpp's converter writes of Llama 3's RoPE: by how much each wavelength is stretched."""
    assert spec.rotary_scaling is not None
    wavelengths = 2 * torch.pi * spec.rotary_base ** (torch.arange(0, spec.head_dim, 2) / spec.head_dim)
    smooth = ((8192 / wavelengths - 1) / 3).clamp(0, 1)
    return 1 / ((1 - smooth) / spec.rotary_scaling + smooth)


def write(spec: ModelSpec, kind: str, model: Any, file: Path) -> None:
    writer = gguf.GGUFWriter(file, kind)
    writer.add_block_count(spec.num_layers)
    writer.add_context_length(spec.seq_length)
    writer.add_embedding_length(spec.hidden_size)
    writer.add_feed_forward_length(spec.ffn_hidden_size)
    writer.add_head_count(spec.num_attention_heads)
    writer.add_head_count_kv(spec.num_query_groups)
    writer.add_key_length(spec.head_dim)
    writer.add_rope_dimension_count(int(spec.head_dim * spec.rotary_percent))
    writer.add_rope_freq_base(float(spec.rotary_base))
    (writer.add_layer_norm_eps if kind == "nemotron" else writer.add_layer_norm_rms_eps)(spec.norm_epsilon)
    if spec.rotary_scaling is not None:
        writer.add_tensor("rope_freqs.weight", stretching(spec).numpy())
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and spec.tie_embeddings:
            continue
        stem, _, end = name.rpartition(".")
        if stem.startswith("model.layers."):
            _, _, number, rest = stem.split(".", 3)
            theirs_name = f"blk.{number}.{NAMES[rest]}.{end}"
        else:
            theirs_name = f"{NAMES[stem]}.{end}"
        writer.add_tensor(theirs_name, as_llama_cpp_writes(spec, kind, name, tensor).contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("name", ["llama", "llama 3", "qwen2", "qwen3", "nemotron"])
def test_a_gguf_file_has_the_logits_of_the_model_that_it_was_made_from(name: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    spec, kind = SHAPES[name], name.split()[0]
    model = theirs(config_of(spec, dtype="float32", end_id=2, pad_id=0))
    write(spec, kind, model, tmp_path / "model.gguf")
    tokens = some_tokens(spec)
    found = logits(ours(spec, open_weights([tmp_path / "model.gguf"])), tokens)
    assert (found - their_logits(model, tokens)).abs().max() < 1e-4


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pytest.importorskip("transformers")
    spec = SHAPES["llama"]
    write(spec, "llama", theirs(config_of(spec, dtype="float32", end_id=2, pad_id=0)), tmp_path / "model.gguf")
    return tmp_path / "model.gguf"


def test_another_shape_is_told(file: Path) -> None:
    with pytest.raises(ValueError, match="num_layers is 2, not 4"):
        open_weights([file]).check(SHAPES["llama"].model_copy(update={"num_layers": 4}))
    with pytest.raises(ValueError, match=r"model\.embed_tokens\.weight is 96x64, not 128x64"):
        open_weights([file]).check(SHAPES["llama"].model_copy(update={"vocab_size": 128}))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda content: b"GGML" + content[4:], "no GGUF file"),
        (lambda content: b"", "no GGUF file"),
        (lambda content: content[: len(content) // 2], "damaged or cut short"),
        (lambda content: content[:300], "damaged or cut short"),
        (lambda content: content[:8] + struct.pack("<Q", 1 << 60) + content[16:], "a trap"),
        (lambda content: content[:16] + struct.pack("<Q", 1 << 40) + content[24:], "a trap"),
    ],
)
def test_bad_files_are_refused(spoil: Callable[[bytes], bytes], told: str, file: Path) -> None:
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(ValueError, match=told):
        ours(SHAPES["llama"], open_weights([file]))

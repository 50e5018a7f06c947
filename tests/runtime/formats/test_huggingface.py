import json
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import LLAMA, SHAPES, files, logits, ours, some_tokens, their_logits, theirs
from safetensors.torch import load_file, save_file

from runtime.formats.huggingface import config_of, open_weights

transformers = pytest.importorskip("transformers")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small Llama as transformers saves it."""
    theirs(config_of(LLAMA, dtype="float32", end_id=2, pad_id=0)).save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", SHAPES)
def test_a_model_of_transformers_has_the_same_logits_here(name: str, tmp_path: Path) -> None:
    spec = SHAPES[name]
    model = theirs(config_of(spec, dtype="float32", end_id=2, pad_id=0))
    model.save_pretrained(tmp_path)
    tokens = some_tokens(spec)
    expected = their_logits(model, tokens)
    assert expected.std() > 0.1
    assert (logits(ours(spec, open_weights(files(tmp_path))), tokens) - expected).abs().max() < 1e-4


def test_shards_are_one_model(folder: Path, tmp_path: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    sharded = tmp_path / "sharded"
    model.save_pretrained(sharded, max_shard_size="60KB")
    assert len(list(sharded.glob("*.safetensors"))) > 1
    tokens = some_tokens(LLAMA)
    assert torch.equal(
        logits(ours(LLAMA, open_weights(files(sharded))), tokens),
        logits(ours(LLAMA, open_weights(files(folder))), tokens),
    )


def test_every_difference_from_the_recipe_is_told_at_once(folder: Path) -> None:
    other = LLAMA.model_copy(update={"num_layers": 3, "rotary_base": 500_000, "norm_epsilon": 1e-6, "seq_length": 128})
    with pytest.raises(ValueError, match="another model") as caught:
        open_weights(files(folder)).check(other)
    for told in ("num_layers is 2, not 3", "rotary_base is", "norm_epsilon is", "seq_length is 64 at most, not 128"):
        assert told in str(caught.value)


class _Bomb:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.folder / "ran"),))


def _as_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": _Bomb(folder)}))


def _cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _renamed_pickle(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps(_Bomb(folder)))


def _absurd_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 62) + b"{}")


def _overlapping(folder: Path) -> None:
    header = json.dumps(
        {name: {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4]} for name in ("a", "b")}
    ).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"0000")


def _change(folder: Path, **changes: torch.Tensor | None) -> None:
    file = folder / "model.safetensors"
    tensors = {**load_file(file), **changes}
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, file)


def _configure(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


_QUERY = "model.layers.0.self_attn.q_proj.weight"


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_as_pickle, "pytorch_model.bin is a pickle"),
        (_renamed_pickle, "no whole safetensors file"),
        (_cut, "no whole safetensors file"),
        (_absurd_header, "no whole safetensors file"),
        (_overlapping, "no whole safetensors file"),
        (lambda folder: _change(folder, **{_QUERY: None}), f"missing {_QUERY}"),
        (lambda folder: _change(folder, extra=torch.zeros(2)), "unexpected extra"),
        (lambda folder: _change(folder, **{_QUERY: torch.zeros(64, 32)}), f"{_QUERY} is 64x32, not 64x64"),
        (lambda folder: _change(folder, **{_QUERY: torch.zeros(64, 64, dtype=torch.int8)}), "is of int8"),
        (lambda folder: _change(folder, **{_QUERY: torch.full((64, 64), float("nan"))}), "infinities or NaN"),
        (lambda folder: (folder / "config.json").write_text("[" * 100_000), "no JSON"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "mamba"}'), "model_type 'mamba'"),
        (lambda folder: _configure(folder, rms_norm_eps=None), "config.json is damaged"),
        (lambda folder: _configure(folder, num_hidden_layers="two"), "num_hidden_layers is 'two', which is no count"),
        (lambda folder: _configure(folder, rope_scaling={"type": "linear", "factor": 2.0}), "cannot stretch RoPE"),
        (lambda folder: _configure(folder, layer_types=["sliding_attention"] * 2), "a sliding window"),
        (lambda folder: (folder / "config.json").unlink(), "must name one config.json"),
    ],
)
def test_bad_files_are_refused_with_what_is_wrong_and_run_nothing(spoil: Any, told: str, folder: Path) -> None:
    spoil(folder)
    with pytest.raises(ValueError, match=told):
        ours(LLAMA, open_weights(files(folder)))
    assert not (folder / "ran").exists()

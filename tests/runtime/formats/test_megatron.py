import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import SHAPES, files, logits, ours, some_tokens

from compiler.schema.model import Layout, Precision
from runtime.engine.checkpoint import save_weights
from runtime.engine.model import build
from runtime.formats.megatron import open_weights


@pytest.mark.parametrize("name", ["llama", "qwen3", "nemotron"])
def test_a_distributed_checkpoint_is_read_without_its_model(name: str, tmp_path: Path) -> None:
    spec = SHAPES[name]
    model = build(spec, Layout(), Precision(dtype="fp32"), seed=9)
    save_weights(model, tmp_path / "weights")
    tokens = some_tokens(spec)
    found = logits(ours(spec, open_weights(files(tmp_path / "weights"))), tokens)
    assert torch.equal(found, logits(model, tokens))


class _Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.target),))


def test_an_index_that_would_run_code_does_not(tmp_path: Path) -> None:
    (tmp_path / ".metadata").write_bytes(pickle.dumps(_Bomb(tmp_path / "ran")))
    with pytest.raises(ValueError, match=r"names (posix|os)\.mkdir"):
        open_weights(files(tmp_path))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps([1, 2])])
def test_a_damaged_index_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / ".metadata").write_bytes(content)
    with pytest.raises(ValueError, match=r"\.metadata is (damaged|no index)"):
        open_weights(files(tmp_path))


def test_weights_of_another_shape_are_told(tmp_path: Path) -> None:
    save_weights(build(SHAPES["llama"], Layout(), Precision(dtype="fp32"), seed=9), tmp_path / "weights")
    with pytest.raises(ValueError, match="of another shape"):
        open_weights(files(tmp_path / "weights")).check(SHAPES["llama"].model_copy(update={"ffn_hidden_size": 128}))

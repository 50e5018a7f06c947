from pathlib import Path

import pytest
import torch
from engine_cases import BF16, FP32, LLAMA, NEMOTRON, SPECS, hashes, make, perturb, same_weights, weights

from runtime.engine.checkpoint import load_weights, save_weights
from runtime.engine.model import Regression


@pytest.mark.parametrize("name", SPECS)
def test_weights_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    model = perturb(make(SPECS[name]))
    save_weights(model, tmp_path / "weights")
    other = make(SPECS[name], seed=8)
    load_weights(other, tmp_path / "weights")
    assert same_weights(model, other)


def test_files_of_equal_weights_are_equal_wherever_and_whenever_they_are_written(tmp_path: Path) -> None:
    save_weights(make(), tmp_path / "one")
    first = hashes(tmp_path / "one")
    save_weights(make(), tmp_path / "elsewhere" / "deeper")
    assert hashes(tmp_path / "elsewhere" / "deeper") == first
    save_weights(make(seed=4), tmp_path / "one")
    assert hashes(tmp_path / "one") != first
    assert not list(tmp_path.glob(".*"))


def test_weights_may_change_precision_on_the_way(tmp_path: Path) -> None:
    model = make(precision=FP32)
    save_weights(model, tmp_path / "weights")
    narrow = make(precision=BF16, seed=8)
    load_weights(narrow, tmp_path / "weights")
    for name, weight in weights(narrow).items():
        assert torch.equal(weight, weights(model)[name].bfloat16())


def test_weights_of_another_model_are_refused_by_name(tmp_path: Path) -> None:
    save_weights(make(), tmp_path / "policy")
    with pytest.raises(ValueError, match=r"missing \['regression.bias', 'regression.weight'\]"):
        load_weights(make(head=Regression(3)), tmp_path / "policy")
    with pytest.raises(ValueError, match="unexpected"):
        load_weights(make(NEMOTRON.model_copy(update={"tie_embeddings": True})), tmp_path / "policy")
    load_weights(make(NEMOTRON.model_copy(update={"tie_embeddings": True})), tmp_path / "policy", strict=False)


def test_a_body_of_another_shape_is_refused(tmp_path: Path) -> None:
    save_weights(make(LLAMA), tmp_path / "weights")
    with pytest.raises(ValueError, match="linear_fc1"):
        load_weights(make(LLAMA.model_copy(update={"ffn_hidden_size": 64})), tmp_path / "weights")

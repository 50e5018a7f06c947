from pathlib import Path

import pytest
import torch
from engine_cases import BF16, FP32, LLAMA, NEMOTRON, SPECS, batches, hashes, make, perturb, same_weights, weights

from compiler.schema.training import Optimizer
from runtime.engine.checkpoint import load_weights, save_weights
from runtime.engine.loop import train
from runtime.engine.model import Model, Regression
from runtime.engine.objective import next_token
from runtime.engine.parallel import Options


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


@pytest.mark.parametrize("options", [Options(), Options(distributed_optimizer=True)], ids=["whole", "divided"])
@pytest.mark.parametrize("name", ["nemotron", "llama"])
def test_updates_too_small_for_bf16_reach_the_next_stage(tmp_path: Path, name: str, options: Options) -> None:
    """Each stage moves every weight by less than bf16 can tell; two stages move it as one that is as long."""
    first = make(SPECS[name], BF16, options=options)
    before = {name: weight.clone() for name, weight in weights(first).items()}
    small_steps(first, range(2))
    # Matrices only: a norm's weights begin at 0, where bf16 tells anything.
    moved_in_bf16 = [
        (weight != before[name]).float().mean() for name, weight in weights(first).items() if weight.dim() > 1
    ]
    assert max(moved_in_bf16) < 0.05
    save_weights(first, tmp_path / "first")
    second = make(SPECS[name], BF16, seed=8, options=options)
    load_weights(second, tmp_path / "first", to_train=True)
    small_steps(second, range(2, 4))
    save_weights(second, tmp_path / "second")

    at_once = make(SPECS[name], BF16, options=options)
    small_steps(at_once, range(4))
    save_weights(at_once, tmp_path / "at once")
    starts, moved, expected = (make(SPECS[name], FP32) for _ in range(3))
    for model, folder in ((moved, "second"), (expected, "at once")):
        load_weights(model, tmp_path / folder)
    for parameter, start in weights(starts).items():
        way = weights(expected)[parameter] - start.bfloat16().float()
        assert float(way.abs().max()) > 0
        assert float((weights(moved)[parameter] - weights(expected)[parameter]).abs().max()) < 1e-2 * way.abs().max()


def small_steps(model: Model, steps: range) -> None:
    """Plain descent, as Adam goes whose denominator is its epsilon alone: a stage that begins anew goes on the same."""
    plain = Optimizer(beta1=0.0, beta2=0.0, epsilon=1e3, weight_decay=0.0, clip_grad=0.0)
    train(
        model,
        plain,
        num_steps=len(steps),
        learning_rate=lambda step: 0.1,
        micro_batches=lambda step: batches(steps[step]),
        objective=next_token,
    )


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

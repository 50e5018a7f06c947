"""Linear layers in emulated FP8: which operand is rounded how, the state of delayed scaling, and training with it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from engine_cases import ADAM, LLAMA, NEMOTRON, batches, hashes, make, same_weights, weights
from engine_recipes import BLOCKWISE, DELAYED, FP8_RECIPES, MXFP8, TENSORWISE, in_fp8
from torch import Tensor

from compiler.schema.model import FP8
from runtime.engine.checkpoint import save_weights
from runtime.engine.emulated import Delayed, product, scaling
from runtime.engine.float8 import E4M3, E5M2, Blocks, block_amax, e8m0_scale_of, round_to, scale_of
from runtime.engine.keeping import Checkpointing
from runtime.engine.loop import StepRecord, train
from runtime.engine.model import Model
from runtime.engine.objective import next_token

NAMES = list(FP8_RECIPES)


def run(model: Model, *, num_steps: int = 6, size: int = 4, checkpointing: Checkpointing | None = None):
    records: list[StepRecord] = []
    train(
        model,
        ADAM,
        num_steps=num_steps,
        learning_rate=lambda step: 1e-3 * (step + 1),
        micro_batches=lambda step: batches(step, size=size),
        objective=next_token,
        checkpointing=checkpointing,
        on_step=records.append,
    )
    return records


def operands(tokens: int = 160, inputs: int = 192, outputs: int = 96) -> tuple[Tensor, Tensor, Tensor]:
    """Input, weight and gradient of outputs, with rows and columns of different size."""
    generator = torch.Generator().manual_seed(4)

    def uneven(rows: int, columns: int) -> Tensor:
        values = torch.randn(rows, columns, generator=generator)
        return values * torch.logspace(-2, 1, rows)[:, None] * torch.logspace(1, -2, columns)

    return uneven(tokens, inputs), uneven(outputs, inputs), 1e-4 * uneven(tokens, outputs)


def products(recipe: FP8) -> tuple[Tensor, Tensor, Tensor]:
    """Output, and the gradients of input and weight."""
    inputs, weight, gradient = operands()
    inputs.requires_grad_()
    weight.requires_grad_()
    rule = scaling(recipe)
    outputs = product(inputs, weight, rule)
    outputs.backward(gradient)
    assert inputs.grad is not None
    assert weight.grad is not None
    return outputs.detach(), inputs.grad, weight.grad


def by(blocks: Blocks, values: Tensor, dtype: torch.dtype, *, e8m0: bool = False) -> Tensor:
    amax = block_amax(values, blocks)
    return round_to(values, e8m0_scale_of(amax, dtype) if e8m0 else scale_of(amax, dtype, power_of_two=True), dtype)


def test_tensorwise_rounds_all_operands_by_their_own_largest_and_gradients_in_e5m2() -> None:
    inputs, weight, gradient = operands()
    x, w = (round_to(one, scale_of(one.abs().amax(), E4M3), E4M3) for one in (inputs, weight))
    g = round_to(gradient, scale_of(gradient.abs().amax(), E5M2), E5M2)
    for found, expected in zip(products(TENSORWISE), (x @ w.T, g @ w, g.T @ x), strict=True):
        assert torch.equal(found, expected)


def test_e4m3_alone_rounds_gradients_finer_than_hybrid() -> None:
    exact = operands()
    errors = [
        float((products(recipe)[1] - exact[2] @ exact[1]).norm())
        for recipe in (TENSORWISE, TENSORWISE.model_copy(update={"format": "e4m3"}))
    ]
    assert errors[1] < 0.8 * errors[0]


def test_blockwise_rounds_weights_by_squares_and_the_rest_along_each_product() -> None:
    inputs, weight, gradient = operands()
    w = by(Blocks(128, 128), weight, E4M3)
    along, across = Blocks(1, 128), Blocks(128, 1)
    expected = (
        by(along, inputs, E4M3) @ w.T,
        by(along, gradient, E4M3) @ w,
        by(across, gradient, E4M3).T @ by(across, inputs, E4M3),
    )
    for found, right in zip(products(BLOCKWISE), expected, strict=True):
        assert torch.equal(found, right)


def test_mxfp8_rounds_every_operand_along_each_product() -> None:
    inputs, weight, gradient = operands()
    along, across = Blocks(1, 32), Blocks(32, 1)
    expected = (
        by(along, inputs, E4M3, e8m0=True) @ by(along, weight, E4M3, e8m0=True).T,
        by(along, gradient, E4M3, e8m0=True) @ by(across, weight, E4M3, e8m0=True),
        by(across, gradient, E4M3, e8m0=True).T @ by(across, inputs, E4M3, e8m0=True),
    )
    for found, right in zip(products(MXFP8), expected, strict=True):
        assert torch.equal(found, right)


@pytest.mark.parametrize("name", NAMES)
def test_operands_that_fp8_can_represent_are_multiplied_exactly(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    inputs, weight = (torch.randint(-7, 8, shape, generator=generator).float() for shape in ((64, 64), (32, 64)))
    inputs[0, :], inputs[:, 0], weight[0, :], weight[:, 0] = 7.0, 7.0, 7.0, 7.0  # of every block: 448 / 7 is 2^6
    assert torch.equal(product(inputs, weight, scaling(FP8_RECIPES[name])), inputs @ weight.T)


@pytest.mark.parametrize("margin", [0, 2])
def test_delayed_scaling_takes_the_scale_from_earlier_steps(margin: int) -> None:
    rule = scaling(DELAYED.model_copy(update={"margin": margin, "amax_history": 3}))
    assert isinstance(rule, Delayed)
    seen = []
    for largest in (4.0, 2.0, 1.0, 0.5, 0.0):
        kept, _ = rule.rounded(torch.tensor([[largest, largest / 3]]), "input")
        seen.append((float(rule.scale[0]), float(kept[0, 0])))
        rule.move_on(rule.history[0].clone())
    # 1 at first; then the largest of the last three steps; a step of zeros still has earlier ones in sight.
    expected = [1.0, *(448 / amax / 2**margin for amax in (4.0, 4.0, 4.0, 2.0))]
    assert [scale for scale, _ in seen] == pytest.approx(expected)
    assert float(rule.scale[0]) == pytest.approx(448 / 1.0 / 2**margin)


def test_most_recent_forgets_at_once_and_max_does_not() -> None:
    for algorithm, amax in (("max", 8.0), ("most_recent", 1.0)):
        rule = scaling(DELAYED.model_copy(update={"amax_algorithm": algorithm}))
        assert isinstance(rule, Delayed)
        for largest in (8.0, 1.0):
            rule.rounded(torch.tensor([[largest]]), "weight")
            rule.move_on(rule.history[0].clone())
        assert float(rule.scale[1]) == 448 / amax


def test_a_step_that_is_not_finite_or_all_zero_leaves_the_scale() -> None:
    rule = scaling(DELAYED.model_copy(update={"amax_history": 1}))
    assert isinstance(rule, Delayed)
    rule.move_on(torch.tensor([2.0, 2.0, 2.0]))
    rule.move_on(torch.tensor([0.0, torch.inf, torch.nan]))
    assert rule.scale.tolist() == [224.0, 224.0, 57344 / 2]


def test_a_growing_tensor_saturates_at_the_scale_of_the_step_before() -> None:
    """What delayed scaling is known for, and a current scale never does."""
    rule = scaling(DELAYED)
    assert isinstance(rule, Delayed)
    rule.rounded(torch.tensor([[1.0]]), "input")
    rule.move_on(rule.history[0].clone())
    kept, _ = rule.rounded(torch.tensor([[10.0]]), "input")
    assert float(kept) == 1.0
    assert float(scaling(TENSORWISE).rounded(torch.tensor([[10.0]]), "input")[0]) == pytest.approx(10.0)


def test_reading_a_model_does_not_move_its_scales() -> None:
    rule = scaling(DELAYED)
    assert isinstance(rule, Delayed)
    rule.eval()
    rule.rounded(torch.tensor([[3.0]]), "input")
    assert float(rule.history.abs().sum()) == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_model_trains_near_its_unrounded_twin_but_not_on_its_path(name: str) -> None:
    plain, rounded = (run(make(precision=precision)) for precision in (in_fp8(None), in_fp8(FP8_RECIPES[name])))
    assert [record.loss for record in rounded] == pytest.approx([record.loss for record in plain], abs=0.1)
    assert [record.loss for record in rounded] != pytest.approx([record.loss for record in plain], abs=1e-4)


def test_first_and_last_layers_stay_as_they_are() -> None:
    spec = NEMOTRON.model_copy(update={"num_layers": 3})
    recipe = TENSORWISE.model_copy(update={"bf16_first_layers": 1, "bf16_last_layers": 1})
    (chunk,) = make(spec, in_fp8(recipe)).chunks
    in_fp8_layers = [
        any(hasattr(module, "scaling") for module in layer.modules())  # type: ignore[union-attr]
        for layer in chunk.decoder.layers
    ]
    assert in_fp8_layers == [False, True, False]


def test_micro_batches_do_not_change_delayed_scaling() -> None:
    """Its histories move once in a step, by the largest of all micro-batches."""
    one, four = (make(precision=in_fp8(DELAYED)) for _ in range(2))
    losses = [[record.loss for record in run(model, size=size)] for model, size in ((one, 8), (four, 2))]
    assert losses[0] == pytest.approx(losses[1], abs=2e-3)
    histories = [
        torch.stack([module.history for module in model.chunks[0].modules() if isinstance(module, Delayed)])
        for model in (one, four)
    ]
    assert torch.allclose(histories[0], histories[1], rtol=0.05)


@pytest.mark.parametrize("name", ["delayed", "mxfp8"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path: Path, name: str, dtype: str) -> None:
    precision = in_fp8(FP8_RECIPES[name], dtype)
    straight = make(LLAMA, precision)
    records = run(straight)
    checkpointing = Checkpointing(tmp_path / "training", every=2)
    run(make(LLAMA, precision), num_steps=5, checkpointing=checkpointing)
    resumed = make(LLAMA, precision)
    rest = run(resumed, checkpointing=checkpointing)
    assert [record.step for record in rest] == [4, 5]
    assert [record.loss for record in rest] == [record.loss for record in records[4:]]
    assert same_weights(straight, resumed)
    for one, other in zip(straight.chunks[0].buffers(), resumed.chunks[0].buffers(), strict=True):
        assert torch.equal(one, other)


def test_scales_are_no_part_of_a_model_s_weights(tmp_path: Path) -> None:
    rounded, plain = make(precision=in_fp8(DELAYED)), make()
    save_weights(rounded, tmp_path / "rounded")
    save_weights(plain, tmp_path / "plain")
    assert hashes(tmp_path / "rounded") == hashes(tmp_path / "plain")
    assert weights(rounded).keys() == weights(plain).keys()


def test_recomputed_activations_are_rounded_alike() -> None:
    model = make(precision=in_fp8(DELAYED))
    again = make(precision=in_fp8(DELAYED), options=replace(model.options, recompute="full"))
    assert [record.loss for record in run(model)] == pytest.approx([record.loss for record in run(again)], abs=1e-5)

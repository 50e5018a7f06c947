"""FP8 recipes as Megatron and Transformer Engine take them: recipes need no GPU, modules do."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from engine_cases import ADAM, BF16, NEMOTRON, batches, environment, make, same_weights, token_rows
from engine_recipes import BLOCKWISE, DELAYED, FP8_RECIPES, MXFP8, TENSORWISE
from megatron.core.transformer.transformer_config import TransformerConfig

from compiler.schema.model import FP8, Precision
from runtime.engine import layers
from runtime.engine.checkpoint import load_weights, save_weights
from runtime.engine.keeping import Checkpointing
from runtime.engine.loop import train
from runtime.engine.model import Model
from runtime.engine.objective import next_token
from runtime.engine.precision import megatron_fields, refuse_without_hardware


def real(recipe: FP8, **changes: object) -> Precision:
    return Precision(dtype="bf16", fp8=recipe.model_copy(update={"emulate": False, **changes}))


@pytest.mark.parametrize("name", FP8_RECIPES)
def test_megatron_takes_every_recipe(name: str) -> None:
    config = TransformerConfig(
        num_layers=4, hidden_size=64, num_attention_heads=4, bf16=True, **megatron_fields(real(FP8_RECIPES[name]))
    )
    assert (config.fp8, config.fp8_recipe) == (FP8_RECIPES[name].format, name)
    assert not config.first_last_layers_bf16


def test_fields_of_a_recipe_reach_megatron() -> None:
    changed = real(DELAYED, margin=2, amax_history=16, amax_algorithm="most_recent", param_gather=True)
    fields = megatron_fields(changed)
    assert (fields["fp8_margin"], fields["fp8_amax_history_len"], fields["fp8_amax_compute_algo"]) == (
        2,
        16,
        "most_recent",
    )
    assert fields["fp8_param"]
    ends = megatron_fields(real(TENSORWISE, bf16_first_layers=1, bf16_last_layers=2))
    config = TransformerConfig(num_layers=8, hidden_size=64, num_attention_heads=4, bf16=True, **ends)
    assert config.first_last_layers_bf16
    assert (config.num_layers_at_start_in_bf16, config.num_layers_at_end_in_bf16) == (1, 2)


def test_what_is_emulated_is_none_of_megatron_s_business() -> None:
    assert megatron_fields(Precision(dtype="bf16", fp8=MXFP8)) == {}
    assert megatron_fields(Precision(dtype="bf16")) == {}


# Transformer Engine must be out of sight before Megatron is imported, and its recipes are then still in memory.
_RECIPES = """
import json, sys
import transformer_engine.common.recipe as recipes
sys.modules["transformer_engine"] = None
from engine_recipes import BLOCKWISE, DELAYED, MXFP8, TENSORWISE
from runtime.engine.precision import transformer_engine_recipe
changed = DELAYED.model_copy(update={"margin": 3, "amax_history": 7, "amax_algorithm": "most_recent", "format": "e4m3"})
made = [transformer_engine_recipe(recipe) for recipe in (DELAYED, changed, TENSORWISE, BLOCKWISE, MXFP8)]
names = ("margin", "amax_history_len", "amax_compute_algo", "x_block_scaling_dim", "w_block_scaling_dim")
json.dump(
    [[type(one).__name__, one.fp8_format.name, *(getattr(one, name, None) for name in names)] for one in made]
    + [[recipes.Format.HYBRID.value.max_fwd, recipes.Format.HYBRID.value.max_bwd]]
    + [one.fp8_quant_fwd_inp.power_2_scale for one in made[2:4]],
    sys.stdout,
)
"""


def test_transformer_engine_makes_the_recipes_that_the_spec_says() -> None:
    """From the real package, in a process of its own; also the constants that the emulation rests on."""
    try:
        version = importlib.metadata.version("transformer-engine")
    except importlib.metadata.PackageNotFoundError:
        # Its recipes need no GPU, its modules do: `pip install --no-deps 'transformer-engine<2.12'` is enough here.
        pytest.skip("the package transformer-engine is not installed")
    assert tuple(map(int, version.split(".")[:2])) in ((2, 9), (2, 10), (2, 11))
    environ = {**environment(), "NVTE_PROJECT_BUILDING": "1"}  # without it, the package looks for CUDA's libraries
    for name in ("NVTE_FP8_BLOCK_SCALING_FP32_SCALES", "NVTE_FP8_CURRENT_SCALING_POWER_2_SCALES"):
        environ.pop(name, None)
    command = [sys.executable, "-W", "ignore", "-c", _RECIPES]
    found = json.loads(subprocess.run(command, env=environ, check=True, capture_output=True, timeout=200).stdout)
    assert found == [
        ["DelayedScaling", "HYBRID", 0, DELAYED.amax_history, "max", None, None],
        ["DelayedScaling", "E4M3", 3, 7, "most_recent", None, None],
        ["Float8CurrentScaling", "HYBRID", None, None, None, None, None],
        ["Float8BlockScaling", "E4M3", None, None, None, 1, 2],
        ["MXFP8BlockScaling", "E4M3", 0, None, None, None, None],
        [torch.finfo(torch.float8_e4m3fn).max, torch.finfo(torch.float8_e5m2).max],
        False,
        True,
    ]
    assert BLOCKWISE.format == MXFP8.format == "e4m3"


# What follows has not been seen passing where there is no GPU, and says so by its skip.
ON_A_GPU = pytest.mark.skipif(not layers.has_transformer_engine(), reason="needs a CUDA device and Transformer Engine")
# FP8 kernels want every side of a product to be a multiple of 32.
WIDE = NEMOTRON.model_copy(update={"hidden_size": 128, "ffn_hidden_size": 256, "vocab_size": 128})


def losses(model: Model, *, num_steps: int, checkpoints: Path | None = None) -> list[float]:
    found: list[float] = []
    train(
        model,
        ADAM,
        num_steps=num_steps,
        learning_rate=lambda step: 1e-3,
        micro_batches=batches,
        objective=next_token,
        checkpointing=None if checkpoints is None else Checkpointing(checkpoints, every=1),
        on_step=lambda record: found.append(record.loss),
    )
    return found


def on_hardware(name: str) -> Precision:
    precision = real(FP8_RECIPES[name])
    try:
        refuse_without_hardware(precision)
    except ValueError as refusal:
        pytest.skip(str(refusal))
    return precision


@pytest.mark.gpu
@ON_A_GPU
def test_transformer_engine_s_layers_give_the_logits_of_the_local_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = make(WIDE, BF16)
    save_weights(theirs, tmp_path / "weights")
    monkeypatch.setattr(layers, "has_transformer_engine", lambda: False)
    local = make(WIDE, BF16, seed=8)
    load_weights(local, tmp_path / "weights")
    tokens, _ = token_rows(0)
    one, other = (model.chunks[0](tokens.cuda(), None, None).float() for model in (theirs, local))
    assert torch.allclose(one, other, atol=2e-2)


@pytest.mark.gpu
@ON_A_GPU
@pytest.mark.parametrize("name", FP8_RECIPES)
def test_a_step_in_fp8_is_near_one_in_bf16_and_not_the_same(name: str) -> None:
    precise = losses(make(WIDE, BF16), num_steps=4)
    rounded = losses(make(WIDE, on_hardware(name)), num_steps=4)
    assert rounded != precise
    assert rounded == pytest.approx(precise, rel=0.02)


@pytest.mark.gpu
@ON_A_GPU
@pytest.mark.parametrize("name", FP8_RECIPES)
def test_training_in_fp8_goes_on_with_its_scales_after_a_stop(tmp_path: Path, name: str) -> None:
    precision = on_hardware(name)
    whole = make(WIDE, precision)
    through = losses(whole, num_steps=4)
    first = losses(make(WIDE, precision), num_steps=2, checkpoints=tmp_path / "scratch")
    resumed = make(WIDE, precision, seed=8)
    assert first + losses(resumed, num_steps=4, checkpoints=tmp_path / "scratch") == through
    assert same_weights(resumed, whole)

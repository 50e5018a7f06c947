"""FP8 recipes as Megatron and Transformer Engine take them: recipes need no GPU, modules do."""

import importlib.metadata
import json
import subprocess
import sys

import pytest
import torch
from engine_cases import environment
from engine_recipes import BLOCKWISE, DELAYED, FP8_RECIPES, MXFP8, TENSORWISE
from megatron.core.transformer.transformer_config import TransformerConfig

from compiler.schema.model import FP8, Precision
from runtime.engine.precision import megatron_fields


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
        pytest.skip("transformer-engine is not installed (the extra `fp8`, or `pip install --no-deps`)")
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

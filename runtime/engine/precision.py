"""FP8 recipes in the words of Megatron and of Transformer Engine, and what a machine must have for them.

Megatron-core lets several mistakes pass: FP8 without Transformer Engine trains unrounded, a recipe that it does not
know is accepted, environment variables change a recipe's scales. Here they are refused.
"""

import importlib
import os
from typing import Any

import torch

from compiler.schema.model import FP8, DelayedScaling, Precision


def megatron_fields(precision: Precision) -> dict[str, Any]:
    """Of a TransformerConfig; none where FP8 is emulated, since our own layers do that."""
    recipe = precision.fp8
    if recipe is None or recipe.emulate:
        return {}
    fields: dict[str, Any] = {
        "fp8": recipe.format,
        "fp8_recipe": recipe.kind,
        "fp8_param": recipe.param_gather,
        "first_last_layers_bf16": recipe.bf16_first_layers + recipe.bf16_last_layers > 0,
        "num_layers_at_start_in_bf16": recipe.bf16_first_layers,
        "num_layers_at_end_in_bf16": recipe.bf16_last_layers,
    }
    if isinstance(recipe, DelayedScaling):
        fields["fp8_margin"] = recipe.margin
        fields["fp8_amax_history_len"] = recipe.amax_history
        fields["fp8_amax_compute_algo"] = recipe.amax_algorithm
    return fields


def transformer_engine_recipe(recipe: FP8) -> Any:
    """The recipe as Transformer Engine's own object (2.9 to 2.11, the versions that megatron-core 0.16 works with)."""
    recipes = importlib.import_module("transformer_engine.common.recipe")
    written = {"hybrid": recipes.Format.HYBRID, "e4m3": recipes.Format.E4M3}[recipe.format]
    if isinstance(recipe, DelayedScaling):
        return recipes.DelayedScaling(
            fp8_format=written,
            margin=recipe.margin,
            amax_history_len=recipe.amax_history,
            amax_compute_algo=recipe.amax_algorithm,
        )
    name = {"tensorwise": "Float8CurrentScaling", "blockwise": "Float8BlockScaling", "mxfp8": "MXFP8BlockScaling"}
    return getattr(recipes, name[recipe.kind])(fp8_format=written)


def layers_in_fp8(recipe: FP8, num_layers: int) -> range:
    """Numbers of the layers, from 0, that are not kept in bf16."""
    return range(recipe.bf16_first_layers, num_layers - recipe.bf16_last_layers)


_CHANGES_SCALES = ("NVTE_FP8_BLOCK_SCALING_FP32_SCALES", "NVTE_FP8_CURRENT_SCALING_POWER_2_SCALES")


def refuse_without_hardware(precision: Precision) -> None:
    """Raises ValueError where this machine cannot do what the recipe says, with what to write instead."""
    recipe = precision.fp8
    if recipe is None or recipe.emulate:
        return
    instead = "write `emulate: true` to see the recipe's rounding without the hardware"
    if not torch.cuda.is_available():
        raise ValueError(f"FP8 ({recipe.kind}) needs a GPU, and this machine has none: {instead}")
    try:
        state = importlib.import_module("transformer_engine.pytorch.fp8").FP8GlobalStateManager
    except ImportError as missing:
        raise ValueError(
            f"FP8 ({recipe.kind}) needs Transformer Engine ({missing}): install the extra `fp8`, or {instead}"
        ) from missing
    available = {
        "delayed": state.is_fp8_available,
        "tensorwise": state.is_fp8_available,
        "blockwise": state.is_fp8_block_scaling_available,
        "mxfp8": state.is_mxfp8_available,
    }
    can, why = available[recipe.kind]()
    if not can:
        raise ValueError(f"FP8 ({recipe.kind}) cannot run here: {why}; {instead}")
    changed = [name for name in _CHANGES_SCALES if os.environ.get(name, "0") == "1"]
    if changed:
        raise ValueError(f"{', '.join(changed)} would change the scales that the recipe says: unset it")


def refuse_another_recipe(config: Any, precision: Precision) -> None:
    """Raises ValueError where Megatron would hand Transformer Engine another recipe than the spec says."""
    from megatron.core.fp8_utils import get_fp8_recipe

    if precision.fp8 is None or precision.fp8.emulate:
        return
    theirs, ours = get_fp8_recipe(config), transformer_engine_recipe(precision.fp8)
    names = ("fp8_format", "margin", "amax_history_len", "amax_compute_algo")
    differing = [name for name in names if getattr(theirs, name, None) != getattr(ours, name, None)]
    if differing or not isinstance(theirs, type(ours)):
        raise ValueError(f"Megatron makes {theirs} of the recipe, where {ours} was meant")

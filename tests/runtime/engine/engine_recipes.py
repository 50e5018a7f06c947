"""FP8 recipes that the engine's tests share, emulated."""

from typing import Any

from compiler.schema.model import (
    FP8,
    BlockwiseScaling,
    DelayedScaling,
    MXFP8Scaling,
    Precision,
    TensorwiseScaling,
)

_SHARED: dict[str, Any] = {
    "bf16_first_layers": 0,
    "bf16_last_layers": 0,
    "param_gather": False,
    "emulate": True,
}
DELAYED = DelayedScaling(kind="delayed", format="hybrid", margin=0, amax_history=4, amax_algorithm="max", **_SHARED)
TENSORWISE = TensorwiseScaling(kind="tensorwise", format="hybrid", **_SHARED)
BLOCKWISE = BlockwiseScaling(kind="blockwise", format="e4m3", **_SHARED)
MXFP8 = MXFP8Scaling(kind="mxfp8", format="e4m3", **_SHARED)
FP8_RECIPES: dict[str, FP8] = {
    "delayed": DELAYED,
    "tensorwise": TENSORWISE,
    "blockwise": BLOCKWISE,
    "mxfp8": MXFP8,
}


def in_fp8(recipe: FP8 | None, dtype: Any = "fp32") -> Precision:
    """A stage's precision with this recipe."""
    return Precision(dtype=dtype, fp8=recipe)

"""A model that is exported has a shape that a class of Hugging Face's transformers has."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from compiler.checks.lineage import Lineage
from compiler.checks.view import View
from compiler.schema.model import ModelSpec
from compiler.stages.export import Export


class _Class(NamedTuple):
    name: str
    fields: Mapping[str, tuple[Any, ...]]
    """Field of the model -> values that the class can hold; others are free."""


_PLAIN = {"qkv_bias": (False,), "qk_norm": (False,), "rotary_scaling": (None,)}
_LLAMA_LIKE = {"activation": ("swiglu",), "normalization": ("rmsnorm",), "rotary_percent": (1.0,)}
_CLASSES = (
    _Class("NemotronForCausalLM", {"activation": ("squared_relu",), "normalization": ("layernorm1p",), **_PLAIN}),
    _Class("LlamaForCausalLM", {**_LLAMA_LIKE, "qkv_bias": (False,), "qk_norm": (False,)}),
    _Class("Qwen2ForCausalLM", {**_LLAMA_LIKE, **_PLAIN, "qkv_bias": (True,), "linear_bias": (False,)}),
    _Class("Qwen3ForCausalLM", {**_LLAMA_LIKE, **_PLAIN, "qk_norm": (True,), "linear_bias": (False,)}),
)


def check_exports(view: View, lineages: Mapping[str, Lineage]) -> None:
    """Each exported policy fits one of the classes; otherwise the nearest is named with what differs."""
    for at in view.stages.values():
        if not isinstance(at.stage, Export) or at.stage.policy not in lineages:
            continue
        lineage = lineages[at.stage.policy]
        misfits = {one.name: _misfits(lineage.model, one) for one in _CLASSES}
        name = min(misfits, key=lambda one: len(misfits[one]))
        if misfits[name]:
            message = f"no class of transformers has this shape; {name} would need {', '.join(misfits[name])}"
            related = ((view.stages[lineage.root].at, "where the model began"),)
            view.blame(at, "policy", message, "wrong-model", related=related)


def _misfits(model: ModelSpec, one: _Class) -> list[str]:
    return [
        f"{field} {' or '.join('none' if value is None else str(value).lower() for value in values)}"
        for field, values in one.fields.items()
        if getattr(model, field) not in values
    ]

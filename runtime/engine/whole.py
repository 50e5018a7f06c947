"""The weights of a whole model by name, in one process: what formats of other programs are read into and written from.

Names are those of Megatron's local layers. Transformer Engine's, which hold each norm inside the linear layer behind
it, are told apart here alone.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from runtime.engine.model import Model

_FUSED = {
    "self_attention.linear_qkv.layer_norm_": "input_layernorm.",
    "mlp.linear_fc1.layer_norm_": "pre_mlp_layernorm.",
}


def put_weights(model: Model, find: Callable[[str, tuple[int, ...]], Tensor]) -> None:
    """Fills every weight in place with what `find` gives for its name and shape."""
    with torch.no_grad():
        for name, parameter in _named(model):
            parameter.copy_(find(name, tuple(parameter.shape)))


def weights(model: Model) -> Iterator[tuple[str, Tensor]]:
    """(name, weight), in the order of the layers."""
    for name, parameter in _named(model):
        yield name, parameter.detach()


def _named(model: Model) -> Iterator[tuple[str, nn.Parameter]]:
    if model.layout.world_size > 1 or len(model.chunks) > 1:
        raise ValueError(f"this rank holds a part of the model only ({model.layout})")
    for name, parameter in model.chunks[0].named_parameters():
        for fused, plain in _FUSED.items():
            name = name.replace(fused, plain)
        yield name, parameter

"""The float32 values of bf16 weights: what training moves, and what it hands on to the next stage.

A step at a usual rate moves most weights by less than half a step of bf16. Inside a stage Megatron's optimizer keeps
them in float32; between stages they are kept beside each weight, as `main_weight`, from `load_weights` to the optimizer
and from the optimizer to `save_weights`. On the CPU: they lie idle there, and a GPU has no room to give away.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

_NAME = "main_weight"


def put(parameter: nn.Parameter, value: Tensor) -> None:
    """Keeps `value` beside the weight that it was rounded to; float32, the weight's shape."""
    setattr(parameter, _NAME, value)


def beside(parameter: nn.Parameter) -> Tensor | None:
    """What is kept beside this weight; None where the weight is its own."""
    return getattr(parameter, _NAME, None)


def take_up(optimizer: Any, parameters: Iterator[nn.Parameter]) -> None:
    """The optimizer begins with what is kept beside the weights, not with what they were rounded to."""
    for parameter in parameters:
        value = beside(parameter)
        if value is None:
            continue
        delattr(parameter, _NAME)
        main: Any = getattr(parameter, "main_param", None)
        if main is not None:
            main.data.copy_(value.view(-1)[_place(optimizer, parameter)] if _is_divided(parameter) else value)


def put_down(optimizer: Any, parameters: Iterator[nn.Parameter]) -> None:
    """Keeps the optimizer's float32 values beside the weights. Called on every rank, since ranks may hold parts."""
    for parameter in parameters:
        if not hasattr(parameter, "main_param"):
            continue
        main: Any = parameter.main_param
        if _is_divided(parameter):
            whole = torch.zeros(parameter.shape, dtype=torch.float32, device=parameter.device)
            if main is not None:
                whole.view(-1)[_place(optimizer, parameter)] = main.detach().float()
            # A sum of bits, all of them 0 on every rank but one: of numbers it would lose the sign of a zero.
            dist.all_reduce(whole.view(torch.int32), group=optimizer.chained_optimizers[0].data_parallel_group)
            put(parameter, whole.cpu())
        else:
            put(parameter, main.detach().float().cpu())
        del parameter.main_param


def _is_divided(parameter: nn.Parameter) -> bool:
    """Whether the distributed optimizer holds a part of it on each data-parallel rank; None on one without a part."""
    return bool(getattr(parameter, "main_param_sharded", False))


def _place(optimizer: Any, parameter: nn.Parameter) -> slice:
    """Of this rank's part in the weight, flat."""
    for part in optimizer.chained_optimizers:
        if parameter in part.model_param_group_index_map:
            found = part._get_model_param_range_map(parameter)["param"]
            return slice(found.start, found.end)
    raise ValueError("no optimizer holds this weight")

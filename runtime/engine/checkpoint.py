"""Weights and training state on disk, in Megatron's distributed checkpoint format (`torch_dist`): what is in them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from megatron.core import dist_checkpointing, parallel_state
from megatron.core.dist_checkpointing.mapping import ShardedTensor
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException

from runtime.engine import emulated, main_weights
from runtime.engine.cpu import cuda_tensor_types
from runtime.engine.model import Model, unwrapped
from runtime.engine.optimizer import Trainable, settle
from runtime.engine.writing import Writing, write

_HEADS = ("output_layer.", "regression.")


def save_weights(model: Model, folder: Path) -> None:
    """Writes the weights of all ranks into `folder`, which appears only when it is complete. Called on every rank.

    Of a model that was trained in bf16 these are the float32 weights that the optimizer moved.
    """
    write(_in_float32(model, _weights(model), main_weights.beside), folder)


def load_weights(
    model: Model, folder: Path, *, strict: bool = True, body_only: bool = False, to_train: bool = False
) -> None:
    """Reads weights in place, whatever layout wrote them. Called on every rank.

    `body_only` leaves the head as it was built: how a reward model starts from a policy. Not `strict` accepts that the
    checkpoint holds tensors which this model lacks; a tensor that the model needs must always be there. `to_train`
    keeps, beside bf16 weights, the float32 values that were read: training goes on from those.
    """
    state = _weights(model, with_head=not body_only)
    if to_train:
        state = _in_float32(model, state, _room)
    try:
        # Megatron calls "missing" what the checkpoint has and the model does not ask for.
        loaded, unexpected, missing = dist_checkpointing.load(state, str(folder), strict="return_all")
    except CheckpointException as problem:  # a BaseException of torch; its text holds every rank's traceback
        reasons = {str(failure[0]) for failure in problem.failures.values()}
        raise ValueError(f"the weights in {folder} do not fit this model: {'; '.join(sorted(reasons))}") from None
    if body_only:
        unexpected = {key for key in unexpected if not key.startswith(_HEADS)}
    if missing or (strict and unexpected):
        raise ValueError(
            f"the weights in {folder} are of another model: "
            f"missing {sorted(missing) or 'nothing'}, unexpected {sorted(unexpected) or 'nothing'}"
        )
    _put(model, loaded)
    if to_train:
        for name, parameter, chunk in _parameters(model):
            if name in loaded[chunk] and parameter.dtype != torch.float32:
                main_weights.put(parameter, loaded[chunk][name])


def save_training(trainable: Trainable, folder: Path, *, step: int) -> None:
    """Writes weights, optimizer and the number of finished steps into `folder`. Called on every rank."""
    with cuda_tensor_types():
        write(_training(trainable, step), folder)


def begin_saving_training(trainable: Trainable, folder: Path, *, step: int) -> Writing:
    """As `save_training`, but files are written while training goes on. Called on every rank."""
    with cuda_tensor_types():
        return Writing(_training(trainable, step), folder)


def _training(trainable: Trainable, step: int) -> dict[str, Any]:
    settle(trainable)
    weights = _weights(trainable.model, with_scales=True)
    optimizer = trainable.optimizer.sharded_state_dict(weights, metadata=_metadata())
    return {**weights, "optimizer": optimizer, "fp8": emulated.sharded(trainable.model.chunks), "step": step}


def load_training(trainable: Trainable, folder: Path) -> int:
    """Reads what `save_training` wrote, in place, and returns the number of finished steps. Called on every rank."""
    weights = _weights(trainable.model, with_scales=True)
    with cuda_tensor_types():
        optimizer = trainable.optimizer.sharded_state_dict(weights, is_loading=True, metadata=_metadata())
        state = {**weights, "optimizer": optimizer, "fp8": emulated.sharded(trainable.model.chunks)}
        loaded = dist_checkpointing.load(state, str(folder))
        _put(trainable.model, loaded)
        emulated.put(trainable.model.chunks, loaded["fp8"])
        trainable.optimizer.load_state_dict(loaded["optimizer"])
    return int(loaded["step"])


def _weights(model: Model, *, with_head: bool = True, with_scales: bool = False) -> dict[str, Any]:
    """Megatron's description of each tensor of this rank, by chunk. `_extra_state` (Transformer Engine's scales and
    their histories, and None on a CPU) is no weight; training goes on with it."""
    state = {}
    for index, chunk in enumerate(model.chunks):
        entries = chunk.sharded_state_dict(metadata=_metadata())
        state[f"chunk{index}"] = {
            name: entry
            for name, entry in entries.items()
            if ((with_scales and model.config.fp8) or not name.endswith("_extra_state"))
            and (with_head or not entry.key.startswith(_HEADS))
        }
    return state


def _in_float32(model: Model, state: dict[str, Any], value: Callable[[nn.Parameter], Tensor | None]) -> dict[str, Any]:
    """The description with other tensors in the place of those weights for which there is a value."""
    state = {chunk: dict(entries) for chunk, entries in state.items()}
    for name, parameter, chunk in _parameters(model):
        other = value(parameter)
        if other is None or name not in state[chunk]:
            continue
        entry = state[chunk][name]
        # Some weights are described by how they fall into several (a gated fc1); those take on the type of their data.
        typed = {"dtype": other.dtype} if isinstance(entry, ShardedTensor) else {}
        state[chunk][name] = replace(entry, data=other, **typed)
    return state


def _room(parameter: nn.Parameter) -> Tensor | None:
    """For the float32 values of a weight of another type."""
    return None if parameter.dtype == torch.float32 else torch.empty(parameter.shape, dtype=torch.float32)


def _parameters(model: Model) -> Iterator[tuple[str, nn.Parameter, str]]:
    """(name in its chunk, parameter, name of the chunk)"""
    for index, chunk in enumerate(unwrapped(model.chunks)):
        for name, parameter in chunk.named_parameters():
            yield name, parameter, f"chunk{index}"


def _put(model: Model, loaded: Mapping[str, Any]) -> None:
    for index, chunk in enumerate(unwrapped(model.chunks)):
        result = chunk.load_state_dict(loaded[f"chunk{index}"], strict=False)
        if result.unexpected_keys:
            raise ValueError(f"weights without a place in the model: {result.unexpected_keys}")


def _metadata() -> dict[str, Any]:
    return {
        "dp_cp_group": parallel_state.get_data_parallel_group(with_context_parallel=True),
        "chained_optim_avoid_prefix": True,
        # Every layout can read it: each tensor of the optimizer's state has the shape of its parameter.
        "distrib_optim_sharding_type": "fully_reshardable",
    }

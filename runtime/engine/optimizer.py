"""Megatron's data-parallel wrapper and optimizer, from our Optimizer record."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig
from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer
from megatron.core.optimizer.clip_grads import clip_grad_by_total_norm_fp32
from torch import nn

from compiler.schema.training import Optimizer
from runtime.engine import distributed_optimizer, main_weights
from runtime.engine.cpu import cuda_tensor_types
from runtime.engine.model import Model


@dataclass(frozen=True)
class Trainable:
    """A model wrapped for data parallelism, with its optimizer. Both are changed in place by training."""

    model: Model
    chunks: tuple[nn.Module, ...]
    """The model's chunks inside Megatron's DistributedDataParallel."""
    optimizer: Any
    """Megatron's ChainedOptimizer."""


def trainable(model: Model, record: Optimizer) -> Trainable:
    """Gradients are accumulated and reduced in float32; with bf16 weights the optimizer keeps float32 main
    weights, which are those that the model was loaded with."""
    options = model.options
    overlap = options.overlap and model.layout.dp * model.layout.cp > 1
    ddp_config = DistributedDataParallelConfig(
        grad_reduce_in_fp32=True,
        overlap_grad_reduce=overlap,
        overlap_param_gather=overlap and options.distributed_optimizer,
        use_distributed_optimizer=options.distributed_optimizer,
        check_for_nan_in_grad=False,  # the loop looks at the loss and the gradient norm itself
    )
    chunks = tuple(
        DistributedDataParallel(config=model.config, ddp_config=ddp_config, module=chunk, disable_bucketing=index > 0)
        for index, chunk in enumerate(model.chunks)
    )
    config = OptimizerConfig(
        optimizer="adam",
        lr=0.0,
        min_lr=0.0,
        weight_decay=record.weight_decay,
        adam_beta1=record.beta1,
        adam_beta2=record.beta2,
        adam_eps=record.epsilon,
        clip_grad=record.clip_grad,
        bf16=model.precision.dtype == "bf16",
        params_dtype=model.config.params_dtype,
        use_distributed_optimizer=options.distributed_optimizer,
        overlap_param_gather=ddp_config.overlap_param_gather,
    )
    distributed_optimizer.mend()
    with cuda_tensor_types():
        optimizer = get_megatron_optimizer(config, list(chunks), use_gloo_process_groups=False)
    for group in optimizer.param_groups:
        # Megatron leaves this multiplication to its scheduler; without it norms and biases would decay too.
        group["weight_decay"] = record.weight_decay * group["wd_mult"]
        if not torch.cuda.is_available():
            # torch's AdamW in one pass over memory instead of ten: one CPU kernel for each parameter.
            group["fused"] = True
    main_weights.take_up(optimizer, _parameters(model))
    return Trainable(model=model, chunks=chunks, optimizer=optimizer)


def _parameters(model: Model) -> Iterator[nn.Parameter]:
    return (parameter for chunk in model.chunks for parameter in chunk.parameters())


def put_down(trainable: Trainable) -> None:
    """The float32 weights outlive the optimizer, beside the model's own where those are in bf16."""
    main_weights.put_down(trainable.optimizer, _parameters(trainable.model))


def settle(trainable: Trainable) -> None:
    """Every rank has the parameters of the last step: with overlap, their gathering waits for the next forward pass."""
    for chunk in trainable.chunks:
        if chunk.ddp_config.overlap_param_gather:  # type: ignore[union-attr]
            chunk.start_param_sync(force_sync=True)  # type: ignore[operator]


def gradient_norm(optimizer: Any) -> float:
    """Of all gradients together, over all ranks, before clipping. Megatron's `step` begins so; then comes `update`."""
    with cuda_tensor_types():
        optimizer.prepare_grads()
        return float(optimizer.get_grad_norm())


def update(optimizer: Any, norm: float) -> None:
    """Clips and steps, as Megatron's `step` does once it knows the norm: between the two a step can be given up."""
    with cuda_tensor_types():
        for part in optimizer.chained_optimizers:
            parameters = part.get_parameters()
            if parameters and part.config.clip_grad > 0:
                decoupled = part.config.use_precision_aware_optimizer
                clip_grad_by_total_norm_fp32(parameters, part.config.clip_grad, norm, decoupled)
        optimizer.step_with_ready_grads()


def set_learning_rate(optimizer: Any, rate: float) -> None:
    """For all groups; Megatron's optimizers read it at their next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_mult", 1.0)

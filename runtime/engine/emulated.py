"""FP8 without its hardware: linear layers whose operands are rounded as a recipe rounds them, forward and backward.

Operands go through FP8 and back (float8.py) and are multiplied in float32, as the hardware accumulates; what comes out
is of the stage's dtype. As in Transformer Engine, the linear layers of attention and MLP are in FP8, while attention
itself, norms, embedding and output layer are not; inputs and weights take the forward format, gradients the backward
one; and where blocks lie along one dimension, both copies of a tensor are rounded from the unrounded one.

A largest magnitude is that of the whole tensor, whatever part of it a rank holds: so a layout changes no scale. In one
thing delayed scaling differs from Transformer Engine's, which counts micro-batches as steps: here a history moves on
once in an optimizer step, by the largest magnitude of all its micro-batches, so that their size changes nothing.

Shapes: T tokens (of all rows), K inputs, N outputs.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.dist_checkpointing.mapping import ShardedTensor
from megatron.core.tensor_parallel import (
    ColumnParallelLinear,
    RowParallelLinear,
    copy_to_tensor_model_parallel_region,
    gather_from_sequence_parallel_region,
)
from torch import Tensor, nn

from compiler.schema.model import FP8, BlockwiseScaling, DelayedScaling, MXFP8Scaling, TensorwiseScaling
from runtime.engine.float8 import E4M3, E5M2, Blocks, block_amax, e8m0_scale_of, round_to, scale_of

Role = Literal["input", "weight", "gradient"]
ROLES: tuple[Role, ...] = ("input", "weight", "gradient")


def dtype_of(recipe: FP8, role: Role) -> torch.dtype:
    """hybrid: E4M3 forward, E5M2 for gradients."""
    return E5M2 if recipe.format == "hybrid" and role == "gradient" else E4M3


class Scaling(nn.Module):
    """How the three operands of one linear layer are rounded."""

    def __init__(self, recipe: FP8) -> None:
        super().__init__()
        self.recipe = recipe

    def rounded(self, values_RC: Tensor, role: Role) -> tuple[Tensor, Tensor]:
        """float32 [R, C] twice: to be multiplied over the columns, and over the rows."""
        raise NotImplementedError


class Tensorwise(Scaling):
    """One scale, from the tensor's own largest magnitude."""

    def rounded(self, values_RC: Tensor, role: Role) -> tuple[Tensor, Tensor]:
        """The same either way."""
        amax = values_RC.detach().abs().amax().float()
        if parallel_state.get_tensor_model_parallel_world_size() * parallel_state.get_context_parallel_world_size() > 1:
            group = parallel_state.get_tensor_and_context_parallel_group()
            dist.all_reduce(amax, op=dist.ReduceOp.MAX, group=group)
        dtype = dtype_of(self.recipe, role)
        kept = round_to(values_RC, scale_of(amax, dtype), dtype)
        return kept, kept


class Blockwise(Scaling):
    """Weights by blocks of 128 x 128, the rest by 128 numbers in the direction of the product; powers of two."""

    def rounded(self, values_RC: Tensor, role: Role) -> tuple[Tensor, Tensor]:
        """The same either way for weights only."""
        if role == "weight":
            kept = self._by(Blocks(128, 128), values_RC, role)
            return kept, kept
        return self._by(Blocks(1, 128), values_RC, role), self._by(Blocks(128, 1), values_RC, role)

    def _by(self, blocks: Blocks, values_RC: Tensor, role: Role) -> Tensor:
        dtype = dtype_of(self.recipe, role)
        return round_to(values_RC, scale_of(block_amax(values_RC, blocks), dtype, power_of_two=True), dtype)


class MXFP8(Scaling):
    """All tensors by 32 numbers in the direction of the product, with E8M0 scales."""

    def rounded(self, values_RC: Tensor, role: Role) -> tuple[Tensor, Tensor]:
        """Both from the unrounded tensor."""
        return self._by(Blocks(1, 32), values_RC, role), self._by(Blocks(32, 1), values_RC, role)

    def _by(self, blocks: Blocks, values_RC: Tensor, role: Role) -> Tensor:
        dtype = dtype_of(self.recipe, role)
        return round_to(values_RC, e8m0_scale_of(block_amax(values_RC, blocks), dtype), dtype)


class Delayed(Scaling):
    """One scale for each operand, from the largest magnitudes of earlier steps: largest / amax / 2^margin.

    The state is that of Transformer Engine: `history` [H, 3], whose first row is the step under way, and `scale` [3],
    1 until a step has been seen. A largest magnitude that is 0 or not finite leaves the scale as it was.
    """

    scale: Tensor
    history: Tensor

    def __init__(self, recipe: DelayedScaling) -> None:
        super().__init__(recipe)
        self.delayed = recipe
        # No part of a model's weights: a checkpoint of training keeps them (`sharded`).
        self.register_buffer("scale", torch.ones(len(ROLES)), persistent=False)
        self.register_buffer("history", torch.zeros(recipe.amax_history, len(ROLES)), persistent=False)

    def rounded(self, values_RC: Tensor, role: Role) -> tuple[Tensor, Tensor]:
        """The same either way; in training the step's largest magnitude is kept for the next steps."""
        place = ROLES.index(role)
        if self.training:
            seen = self.history[0, place]
            torch.maximum(seen, values_RC.detach().abs().amax().float(), out=seen)
        kept = round_to(values_RC, self.scale[place], dtype_of(self.recipe, role))
        return kept, kept

    def move_on(self, amax: Tensor) -> None:
        """Ends a step, whose largest magnitudes over all ranks are `amax` [3]."""
        self.history[0] = amax
        used = self.history.amax(dim=0) if self.delayed.amax_algorithm == "max" else self.history[0].clone()
        largest = used.new_tensor([torch.finfo(dtype_of(self.recipe, role)).max for role in ROLES])
        scale = (largest / used / 2**self.delayed.margin).clamp(max=torch.finfo(torch.float32).max)
        self.scale.copy_(torch.where((used > 0) & used.isfinite(), scale, self.scale))
        self.history.copy_(self.history.roll(-1, dims=0))
        self.history[0] = 0


def scaling(recipe: FP8) -> Scaling:
    """A fresh one for each linear layer."""
    match recipe:
        case DelayedScaling():
            return Delayed(recipe)
        case TensorwiseScaling():
            return Tensorwise(recipe)
        case BlockwiseScaling():
            return Blockwise(recipe)
        case MXFP8Scaling():
            return MXFP8(recipe)


class _Product(torch.autograd.Function):
    """input [T, K] times weight^T [N, K], both rounded; so are all operands of the two products of its gradient."""

    @staticmethod
    def forward(ctx: Any, input_TK: Tensor, weight_NK: Tensor, rule: Scaling) -> Tensor:
        input_TK_by_K, input_TK_by_T = rule.rounded(input_TK, "input")
        weight_NK_by_K, weight_NK_by_N = rule.rounded(weight_NK, "weight")
        ctx.save_for_backward(input_TK_by_T, weight_NK_by_N)
        ctx.rule, ctx.dtypes = rule, (input_TK.dtype, weight_NK.dtype)
        return (input_TK_by_K @ weight_NK_by_K.T).to(input_TK.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (gradient_TN,) = gradients
        input_TK, weight_NK = ctx.saved_tensors
        gradient_by_N, gradient_by_T = ctx.rule.rounded(gradient_TN, "gradient")
        to_input, to_weight = ctx.dtypes
        return (gradient_by_N @ weight_NK).to(to_input), (gradient_by_T.T @ input_TK).to(to_weight), None


def product(inputs: Tensor, weight_NK: Tensor, rule: Scaling) -> Tensor:
    """[..., K] -> [..., N]"""
    outputs: Tensor = _Product.apply(  # type: ignore[no-untyped-call]
        inputs.reshape(-1, inputs.shape[-1]), weight_NK, rule
    )
    return outputs.view(*inputs.shape[:-1], weight_NK.shape[0])


class _Rounding:
    """Stands before one of Megatron's linear layers and takes the place of its matrix product."""

    scaling: Scaling

    def __init__(self, *args: Any, config: Any, **kwargs: Any) -> None:
        super().__init__(*args, config=config, **kwargs)  # type: ignore[call-arg]
        self.scaling = scaling(config.emulated_fp8)

    def _forward_impl(
        self,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        allreduce_dgrad: bool = False,
        sequence_parallel: bool = False,
        tp_group: Any = None,
        **_: Any,
    ) -> Tensor:
        if sequence_parallel:
            input = gather_from_sequence_parallel_region(input, tensor_parallel_output_grad=True, group=tp_group)
        elif allreduce_dgrad:
            input = copy_to_tensor_model_parallel_region(input, group=tp_group)
        outputs = product(input, weight, self.scaling)
        return outputs if bias is None else outputs + bias


class EmulatedColumnParallelLinear(_Rounding, ColumnParallelLinear):  # type: ignore[misc]  # megatron has no types here
    """ColumnParallelLinear in emulated FP8."""


class EmulatedRowParallelLinear(_Rounding, RowParallelLinear):  # type: ignore[misc]  # megatron has no types here
    """RowParallelLinear in emulated FP8."""


def move_on(chunks: Iterable[nn.Module]) -> None:
    """Ends an optimizer step for all histories of delayed scaling, if there are any. Called on every rank."""
    delayed = [rule for _, rule in _delayed(chunks)]
    if not delayed:
        return
    amax = torch.stack([rule.history[0] for rule in delayed])
    group = parallel_state.get_amax_reduction_group(with_context_parallel=True)
    if group.size() > 1:
        dist.all_reduce(amax, op=dist.ReduceOp.MAX, group=group)
    for rule, row in zip(delayed, amax, strict=True):
        rule.move_on(row)


def sharded(chunks: Iterable[nn.Module]) -> dict[str, Any]:
    """Scales and histories for a checkpoint, named by the layer's number in the whole model; equal on ranks that share
    a layer, so that any layout can go on with them."""
    replica = (
        parallel_state.get_tensor_model_parallel_rank(),
        parallel_state.get_data_parallel_rank(with_context_parallel=True),
    )
    return {
        f"{name}.{what}": ShardedTensor.from_rank_offsets(f"fp8.{name}.{what}", tensor, replica_id=(0, *replica))
        for name, rule in _delayed(chunks)
        for what, tensor in (("scale", rule.scale), ("history", rule.history))
    }


def put(chunks: Iterable[nn.Module], loaded: Mapping[str, Tensor]) -> None:
    """Takes what a checkpoint kept of `sharded`."""
    for name, rule in _delayed(chunks):
        rule.scale.copy_(loaded[f"{name}.scale"])
        rule.history.copy_(loaded[f"{name}.history"])


def _delayed(chunks: Iterable[nn.Module]) -> Iterator[tuple[str, Delayed]]:
    for chunk in chunks:
        for layer in chunk.decoder.layers:  # type: ignore[union-attr]
            for name, module in layer.named_modules():
                if isinstance(module, Delayed):
                    yield f"layers.{layer.layer_number - 1}.{name}", module

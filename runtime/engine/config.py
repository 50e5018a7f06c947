"""ModelSpec, Layout and Precision in Megatron's words: the one place that fills a TransformerConfig."""

from typing import Any

import torch
from megatron.core.activations import squared_relu
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor
from torch.nn import functional

from compiler.schema.model import Layout, ModelSpec, Precision
from runtime.engine.parallel import Options
from runtime.engine.precision import megatron_fields, refuse_another_recipe, refuse_without_hardware

_NO_OPTIONS = Options()

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def transformer_config(
    spec: ModelSpec, layout: Layout, precision: Precision, options: Options = _NO_OPTIONS
) -> TransformerConfig:
    """Refuses with ValueError what Megatron would only find out later, or never."""
    _refuse_indivisible(spec, layout)
    if options.sequence_parallel and layout.tp == 1:
        raise ValueError("sequence parallelism without tensor parallelism has no effect")
    refuse_without_hardware(precision)
    on_gpu = torch.cuda.is_available()
    dtype = DTYPES[precision.dtype]
    activation = {
        "squared_relu": squared_relu if on_gpu else _squared_relu,
        "relu": functional.relu,
        "gelu": functional.gelu,
        "swiglu": functional.silu,
        "geglu": functional.gelu,
    }
    config = TransformerConfig(
        num_layers=spec.num_layers,
        hidden_size=spec.hidden_size,
        ffn_hidden_size=spec.ffn_hidden_size,
        num_attention_heads=spec.num_attention_heads,
        num_query_groups=spec.num_query_groups,
        kv_channels=spec.head_dim,
        activation_func=activation[spec.activation],
        gated_linear_unit=spec.gated,
        normalization="RMSNorm" if spec.normalization == "rmsnorm" else "LayerNorm",
        layernorm_zero_centered_gamma=spec.normalization == "layernorm1p",
        layernorm_epsilon=spec.norm_epsilon,
        add_bias_linear=spec.linear_bias,
        add_qkv_bias=spec.qkv_bias,
        qk_layernorm=spec.qk_norm,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        init_method_std=spec.init_std,
        params_dtype=dtype,
        bf16=precision.dtype == "bf16",
        tensor_model_parallel_size=layout.tp,
        pipeline_model_parallel_size=layout.pp,
        virtual_pipeline_model_parallel_size=layout.vpp if layout.vpp > 1 else None,
        context_parallel_size=layout.cp,
        sequence_parallel=options.sequence_parallel,
        pipeline_dtype=dtype,
        # Micro-batches are padded to their own longest row. Interleaved, megatron-core 0.16.1 waits for ever where it
        # has to tell the lengths and there are as many micro-batches as stages; loop.py pads them to one length.
        variable_seq_lengths=layout.pp > 1 and layout.vpp == 1,
        moe_token_dispatcher_type="alltoall",  # there are no experts, but Megatron refuses its default with the above
        **_pipeline_communication(layout),
        **_RECOMPUTED[options.recompute],
        # The loss is a sum, divided once by the weight of the whole global batch (loop.py).
        calculate_per_token_loss=True,
        # initialize.py sets every weight from its name, so that all layouts start equal.
        perform_initialization=False,
        use_cpu_initialization=not on_gpu,
        bias_activation_fusion=on_gpu
        and (spec.activation == "swiglu" or (spec.activation == "gelu" and spec.linear_bias)),
        bias_dropout_fusion=on_gpu,
        masked_softmax_fusion=False,
        apply_rope_fusion=False,
        gradient_accumulation_fusion=False,
        **megatron_fields(precision),
    )
    refuse_another_recipe(config, precision)
    config.emulated_fp8 = precision.fp8 if precision.fp8 and precision.fp8.emulate else None
    return config


_RECOMPUTED: dict[str, dict[str, Any]] = {
    "none": {},
    "selective": {"recompute_granularity": "selective", "recompute_modules": ["core_attn"]},
    "full": {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1},
}


def _pipeline_communication(layout: Layout) -> dict[str, Any]:
    """With interleaving, batched sends and receives between the same two ranks get mixed up: at PP2 x VPP2 the loss is
    off by 1.6e-2 and gradients by a factor of 9 without any error (megatron-core 0.16.1; the upstream check lives in
    megatron.training only). Unbatched, overlapped communication is exact."""
    if layout.vpp == 1:
        return {}
    return {"batch_p2p_comm": False, "overlap_p2p_comm": layout.pp > 2}


def _refuse_indivisible(spec: ModelSpec, layout: Layout) -> None:
    problems = []
    if spec.kv_channels is None and spec.hidden_size % spec.num_attention_heads:
        problems.append(f"hidden_size {spec.hidden_size} is not a multiple of {spec.num_attention_heads} heads")
    if spec.num_attention_heads % spec.num_query_groups:
        # TransformerConfig itself accepts 4 heads in 3 groups.
        problems.append(f"{spec.num_attention_heads} heads cannot share {spec.num_query_groups} query groups evenly")
    for name in ("num_attention_heads", "num_query_groups", "ffn_hidden_size", "vocab_size"):
        if getattr(spec, name) % layout.tp:
            problems.append(f"{name} {getattr(spec, name)} is not a multiple of tp {layout.tp}")
    if spec.num_layers % (layout.pp * layout.vpp):
        problems.append(f"num_layers {spec.num_layers} is not a multiple of pp {layout.pp} x vpp {layout.vpp}")
    if int(spec.head_dim * spec.rotary_percent) % 2:
        problems.append(f"rotary_percent {spec.rotary_percent} of {spec.head_dim} channels is not an even number")
    if problems:
        raise ValueError("; ".join(problems))


class _SquaredReLU(torch.autograd.Function):
    """relu(x)^2 with a backward pass of two sweeps over memory, 2 relu(x) dy, where autograd's takes four and pow's
    more: on a CPU this activation is the most expensive thing after the matrix products."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor) -> Tensor:
        positive = functional.relu(hidden)
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (positive,) = ctx.saved_tensors
        return torch.mul(gradients[0], positive).mul_(2)


def _squared_relu(hidden: Tensor) -> Tensor:
    result: Tensor = _SquaredReLU.apply(hidden)  # type: ignore[no-untyped-call]
    return result

"""The layer spec: which module stands at which place of a transformer layer, on a GPU and on a CPU."""

import importlib
from typing import Any

import torch
from megatron.core.fusions.fused_bias_dropout import get_bias_dropout_add
from megatron.core.tensor_parallel import ColumnParallelLinear, RowParallelLinear
from megatron.core.transformer.attention import SelfAttentionSubmodules
from megatron.core.transformer.enums import AttnMaskType
from megatron.core.transformer.identity_op import IdentityOp
from megatron.core.transformer.mlp import MLP, MLPSubmodules
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules
from megatron.core.transformer.transformer_config import TransformerConfig
from megatron.core.transformer.transformer_layer import TransformerLayer, TransformerLayerSubmodules

from runtime.engine.attention import CachingSelfAttention, CoreAttention
from runtime.engine.emulated import EmulatedColumnParallelLinear, EmulatedRowParallelLinear
from runtime.engine.norm import Norm
from runtime.engine.precision import layers_in_fp8


def has_transformer_engine() -> bool:
    """Whether layers are built from Transformer Engine's modules: a GPU is there and the package is installed."""
    if not torch.cuda.is_available():
        return False
    try:
        importlib.import_module("transformer_engine.pytorch")
    except ImportError:
        return False
    return True


def block_spec(config: TransformerConfig, *, num_layers: int, first_layer: int) -> Any:
    """What GPTModel takes as `transformer_layer_spec`; a chunk has `num_layers` of them, the first with that number."""
    if has_transformer_engine() and config.emulated_fp8 is None:
        from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_with_transformer_engine_spec

        layer = get_gpt_layer_with_transformer_engine_spec(qk_layernorm=config.qk_layernorm)
        # torch's attention in place of Transformer Engine's, whose masks cannot say what generation over left-padded
        # rows, or several documents in a row, need. Neither has weights, so checkpoints are the same.
        layer.submodules.self_attention.module = CachingSelfAttention
        layer.submodules.self_attention.submodules.core_attention = CoreAttention
        return layer
    rounded = layers_in_fp8(config.emulated_fp8, config.num_layers) if config.emulated_fp8 else range(0)
    layers = [_local_layer(config, in_fp8=first_layer + place in rounded) for place in range(num_layers)]
    return TransformerBlockSubmodules(layer_specs=layers, layer_norm=Norm)


def _local_layer(config: TransformerConfig, *, in_fp8: bool) -> ModuleSpec:
    head_norm = Norm if config.qk_layernorm else IdentityOp
    column = EmulatedColumnParallelLinear if in_fp8 else ColumnParallelLinear
    row = EmulatedRowParallelLinear if in_fp8 else RowParallelLinear
    attention = ModuleSpec(
        module=CachingSelfAttention,
        params={"attn_mask_type": AttnMaskType.causal},
        submodules=SelfAttentionSubmodules(
            linear_qkv=column,
            core_attention=CoreAttention,
            linear_proj=row,
            q_layernorm=head_norm,
            k_layernorm=head_norm,
        ),
    )
    feed_forward = ModuleSpec(module=MLP, submodules=MLPSubmodules(linear_fc1=column, linear_fc2=row))
    return ModuleSpec(
        module=TransformerLayer,
        submodules=TransformerLayerSubmodules(
            input_layernorm=Norm,
            self_attention=attention,
            self_attn_bda=get_bias_dropout_add,
            pre_mlp_layernorm=Norm,
            mlp=feed_forward,
            mlp_bda=get_bias_dropout_add,
            # Names as in the Transformer Engine spec, which fuses each norm into the linear that follows it, so that
            # a checkpoint made on a CPU has the keys that a GPU looks for.
            sharded_state_dict_keys_map={
                "input_layernorm.": "self_attention.linear_qkv.layer_norm_",
                "pre_mlp_layernorm.": "mlp.linear_fc1.layer_norm_",
            },
        ),
    )

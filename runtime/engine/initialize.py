"""Initial weights from the seed and each weight's name, the same values whatever the layout.

Megatron draws from one generator in construction order, so that its values depend on the pipeline split.
"""

import hashlib
import math
import re
from collections.abc import Iterable

import torch
from megatron.core import parallel_state
from megatron.core.tensor_parallel import ColumnParallelLinear, RowParallelLinear, VocabParallelEmbedding
from megatron.core.tensor_parallel.layers import set_tensor_model_parallel_attributes
from megatron.core.transformer.mlp import MLP
from torch import Tensor, nn

from compiler.schema.model import ModelSpec

_LAYER = re.compile(r"decoder\.layers\.(\d+)\.")


def initialize(chunks: Iterable[nn.Module], spec: ModelSpec, *, seed: int) -> None:
    """Fills all parameters in place: norms with their identity, biases with 0, matrices from N(0, init_std).

    The matrices that write into the residual stream get init_std / sqrt(2 * num_layers) (Megatron's scaled init).
    """
    for chunk in chunks:
        _mark_partitions(chunk)
        for name, parameter in chunk.named_parameters():
            global_name = _global_name(chunk, name)
            if name.endswith(".bias"):
                parameter.data.zero_()
            elif parameter.dim() == 1:
                parameter.data.fill_(0.0 if spec.normalization == "layernorm1p" else 1.0)
            else:
                writes_residual = name.endswith((".linear_proj.weight", ".linear_fc2.weight"))
                std = spec.init_std / math.sqrt(2 * spec.num_layers) if writes_residual else spec.init_std
                _fill(parameter, global_name, std=std, seed=seed)


def _fill(parameter: nn.Parameter, name: str, *, std: float, seed: int) -> None:
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    generator = torch.Generator(device=parameter.device)
    generator.manual_seed(int.from_bytes(digest, "big") >> 1)
    split = getattr(parameter, "partition_dim", -1) if getattr(parameter, "tensor_model_parallel", False) else -1
    ranks = parallel_state.get_tensor_model_parallel_world_size() if split >= 0 else 1
    shape = list(parameter.shape)
    if split >= 0:
        shape[split] *= ranks
    whole = torch.empty(shape, dtype=torch.float32, device=parameter.device)
    whole.normal_(0.0, std, generator=generator)
    parameter.data.copy_(_partition(whole, split, ranks, getattr(parameter, "partition_stride", 1)))


def _partition(whole: Tensor, split: int, ranks: int, stride: int) -> Tensor:
    """This rank's part. Stride 2 is a gated fc1: its gate and its up-projection are each split over the ranks."""
    if split < 0 or ranks == 1:
        return whole
    rank = parallel_state.get_tensor_model_parallel_rank()
    pieces = torch.chunk(whole, ranks * stride, dim=split)
    return torch.cat(pieces[rank::ranks], dim=split)


def _mark_partitions(chunk: nn.Module) -> None:
    """Local modules built without initialisation lack the attributes that say how a weight is split; they are also
    what the gradient norm uses to count each weight once. Transformer Engine's modules carry them from the start."""
    for module in chunk.modules():
        if isinstance(module, MLP) and isinstance(module.linear_fc1, ColumnParallelLinear):
            stride = 2 if module.config.gated_linear_unit else 1
            set_if_missing(module.linear_fc1.weight, dim=0, stride=stride)
        if isinstance(module, (ColumnParallelLinear, VocabParallelEmbedding)) and module.weight is not None:
            set_if_missing(module.weight, dim=0, stride=1)
        if isinstance(module, RowParallelLinear):
            set_if_missing(module.weight, dim=1, stride=1)


def set_if_missing(weight: Tensor, *, dim: int, stride: int) -> None:
    """Marks `weight` as split along `dim`, unless it says so already."""
    if not hasattr(weight, "tensor_model_parallel"):
        set_tensor_model_parallel_attributes(weight, True, dim, stride)


def _global_name(chunk: nn.Module, name: str) -> str:
    """The name with the layer's number in the whole model, not in this pipeline chunk. A tied output weight on the
    last pipeline stage takes the name of the embedding, whose copy it is."""
    if name == "output_layer.weight" and getattr(chunk, "share_embeddings_and_output_weights", False):
        return "embedding.word_embeddings.weight"
    match = _LAYER.match(name)
    if match is None:
        return name
    layers: nn.ModuleList = chunk.decoder.layers  # type: ignore[union-attr,assignment]
    number = layers[int(match[1])].layer_number
    return f"decoder.layers.{int(number) - 1}.{name[match.end() :]}"  # type: ignore[arg-type]

"""A model's weights as most programs name and cut them: separate queries, keys and values, gate and up-projection.

    for parameter in parameters(spec):              # every weight of the model, by Megatron's name
        fuse(parameter, [one tensor for each of parameter.parts])
        split(parameter, weight)                    # the inverse

Names of parts are those of Hugging Face's Llama, which its other decoders share.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from compiler.schema.model import ModelSpec


class Parameter(NamedTuple):
    """One weight of the engine and what it is made of."""

    name: str
    """Megatron's, as in `engine.whole`."""
    parts: Mapping[str, tuple[int, ...]]
    """Plain name -> shape."""
    groups: int = 1
    """Parts are laid one behind the other in each of so many groups of rows: a group of queries with its key and value;
    of all other weights there is one group."""


def parameters(spec: ModelSpec) -> Iterator[Parameter]:
    """Every weight of a model of this shape."""
    width = spec.hidden_size
    yield Parameter("embedding.word_embeddings.weight", {"model.embed_tokens.weight": (spec.vocab_size, width)})
    for number in range(spec.num_layers):
        yield from _layer(spec, f"decoder.layers.{number}.", f"model.layers.{number}.")
    yield from _norm(spec, "decoder.final_layernorm.", "model.norm.", width)
    if not spec.tie_embeddings:
        yield Parameter("output_layer.weight", {"lm_head.weight": (spec.vocab_size, width)})


def fuse(parameter: Parameter, parts: Sequence[Tensor]) -> Tensor:
    """The engine's weight."""
    return torch.cat([part.view(parameter.groups, -1, *part.shape[1:]) for part in parts], dim=1).flatten(0, 1)


def split(parameter: Parameter, weight: Tensor) -> dict[str, Tensor]:
    """Plain name -> tensor."""
    sizes = [shape[0] // parameter.groups for shape in parameter.parts.values()]
    pieces = torch.split(weight.view(parameter.groups, -1, *weight.shape[1:]), sizes, dim=1)
    return {name: piece.flatten(0, 1) for name, piece in zip(parameter.parts, pieces, strict=True)}


def _layer(spec: ModelSpec, name: str, plain: str) -> Iterator[Parameter]:
    width, inner, head = spec.hidden_size, spec.ffn_hidden_size, spec.head_dim
    queries, keys = spec.num_attention_heads * head, spec.num_query_groups * head
    yield from _norm(spec, f"{name}input_layernorm.", f"{plain}input_layernorm.", width)
    attention, theirs = f"{name}self_attention.", f"{plain}self_attn."
    yield from _linear(
        f"{attention}linear_qkv.",
        {f"{theirs}q_proj.": queries, f"{theirs}k_proj.": keys, f"{theirs}v_proj.": keys},
        width,
        bias=spec.linear_bias or spec.qkv_bias,
        groups=spec.num_query_groups,
    )
    if spec.qk_norm:
        yield from _norm(spec, f"{attention}q_layernorm.", f"{theirs}q_norm.", head)
        yield from _norm(spec, f"{attention}k_layernorm.", f"{theirs}k_norm.", head)
    yield from _linear(f"{attention}linear_proj.", {f"{theirs}o_proj.": width}, queries, bias=spec.linear_bias)
    yield from _norm(spec, f"{name}pre_mlp_layernorm.", f"{plain}post_attention_layernorm.", width)
    gate = {f"{plain}mlp.gate_proj.": inner} if spec.gated else {}
    up = {**gate, f"{plain}mlp.up_proj.": inner}
    yield from _linear(f"{name}mlp.linear_fc1.", up, width, bias=spec.linear_bias)
    yield from _linear(f"{name}mlp.linear_fc2.", {f"{plain}mlp.down_proj.": width}, inner, bias=spec.linear_bias)


def _linear(name: str, parts: Mapping[str, int], inputs: int, *, bias: bool, groups: int = 1) -> Iterator[Parameter]:
    yield Parameter(f"{name}weight", {f"{part}weight": (rows, inputs) for part, rows in parts.items()}, groups)
    if bias:
        yield Parameter(f"{name}bias", {f"{part}bias": (rows,) for part, rows in parts.items()}, groups)


def _norm(spec: ModelSpec, name: str, plain: str, width: int) -> Iterator[Parameter]:
    yield Parameter(f"{name}weight", {f"{plain}weight": (width,)})
    if spec.normalization != "rmsnorm":
        yield Parameter(f"{name}bias", {f"{plain}bias": (width,)})

"""One more token of every row, on one CPU: what Megatron's modules compute, without most of what stands around it.

Half of a step for few rows went into launching what is no matrix product (SmolLM2-135M, 4 rows, fp32, a busy core: 69
of 146 ms were products). Here a layer is some 25 operations, angles are turned into sines once a step and not once a
layer, and weights lie in memory as oneDNN's products for few rows want them, which are 1.1 (96 rows, bf16) to 2.5 times
(4 rows, fp32) as fast as those on plain weights.

Rows are equally long (left-padded, `generate`) or each as long as it is (`ContinuousBatch`).
Shapes: B rows, G key/value groups, R query heads of a group, D channels, M keys, H hidden, V vocabulary.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from runtime.engine.attention import CachingSelfAttention
from runtime.engine.model import Model

Linear = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Layer:
    number: int
    """As the cache names it."""
    attention_norm: nn.Module
    qkv: Linear
    query_norm: nn.Module | None
    key_norm: nn.Module | None
    projection: Linear
    feed_forward_norm: nn.Module
    up: Linear
    down: Linear


class Decoder:
    """The model as it is now: weights are copied, so that one that is trained on needs another."""

    def __init__(self, model: Model) -> None:
        """For models that `can_decode`."""
        (chunk,) = model.chunks
        self._spec = model.spec
        self._embedding = chunk.embedding.word_embeddings.weight.detach()
        self._activation = model.config.activation_func
        self._layers = [_layer(layer) for layer in chunk.decoder.layers]
        self._norm = chunk.decoder.final_layernorm
        tied = chunk.share_embeddings_and_output_weights
        self._output = _linear(self._embedding if tied else chunk.output_layer.weight, None)
        self._rotary = chunk.rotary_pos_emb
        self._angles = self._rotary(model.spec.seq_length)[:, 0]

    def step(
        self,
        tokens_B: Tensor,
        mask_B11M: Tensor | None,
        caches: Mapping[int, tuple[Tensor, Tensor]],
        *,
        places_B: Tensor | None = None,
        last: int,
    ) -> Tensor:
        """Logits of the next token, float32 [B, V].

        `caches`: layer -> keys and values, [B, G, at least last + 1, D]. Keys and values of these tokens go in at each
        row's own place, or at `last`, which none is behind. `mask_B11M` (M = last + 1) is added to the scores.
        """
        hidden_BH = functional.embedding(tokens_B, self._embedding)
        if last >= len(self._angles):  # a short row beside a long one: places count the padding, too
            self._angles = self._rotary(2 * last)[:, 0]
        angles = self._angles[last] if places_B is None else self._angles[places_B, 0][:, None, None]
        turn = (angles.cos().to(hidden_BH.dtype), angles.sin().to(hidden_BH.dtype))
        mask = None if mask_B11M is None else mask_B11M.to(hidden_BH.dtype)
        everything = slice(None)
        new = (
            (everything, everything, last)
            if places_B is None
            else (torch.arange(len(tokens_B), device=places_B.device), everything, places_B)
        )
        for layer in self._layers:
            cache = caches[layer.number]
            hidden_BH = hidden_BH + self._attend(layer, hidden_BH, turn, mask, cache, new, last)
            inner = layer.up(layer.feed_forward_norm(hidden_BH))
            if self._spec.gated:
                gate, inner = inner.chunk(2, dim=-1)
                inner = self._activation(gate) * inner
            else:
                inner = self._activation(inner)
            hidden_BH = hidden_BH + layer.down(inner)
        return self._output(self._norm(hidden_BH)).float()

    def _attend(
        self,
        layer: _Layer,
        hidden_BH: Tensor,
        turn: tuple[Tensor, Tensor],
        mask: Tensor | None,
        cache: tuple[Tensor, Tensor],
        new: tuple[Any, ...],
        last: int,
    ) -> Tensor:
        """`new`: where in the cache the new keys and values go, [B, G, D] of it."""
        groups, channels = self._spec.num_query_groups, self._spec.head_dim
        num_rows = len(hidden_BH)
        qkv = layer.qkv(layer.attention_norm(hidden_BH)).view(num_rows, groups, -1, channels)
        heads, value_BGD = qkv[:, :, :-1], qkv[:, :, -1]
        if layer.query_norm is not None and layer.key_norm is not None:
            heads = torch.cat((layer.query_norm(heads[:, :, :-1]), layer.key_norm(heads[:, :, -1:])), dim=2)
        heads = _turned(heads, turn)
        keys_BGMD, values_BGMD = cache
        keys_BGMD[new] = heads[:, :, -1]
        values_BGMD[new] = value_BGD
        # The R heads that share a key stand where a sequence's queries would, so that no key is repeated.
        context_BGRD = functional.scaled_dot_product_attention(
            heads[:, :, :-1], keys_BGMD[:, :, : last + 1], values_BGMD[:, :, : last + 1], attn_mask=mask
        )
        return layer.projection(context_BGRD.reshape(num_rows, -1))


def can_decode(model: Model) -> bool:
    """Whether the whole model is here, on a CPU, unrounded, in layers that this file knows."""
    layout, embedding = model.layout, getattr(model.chunks[0], "embedding", None)
    return (
        layout.tp == layout.pp == layout.vpp == layout.cp == 1
        and embedding is not None
        and embedding.word_embeddings.weight.is_cpu
        and model.config.emulated_fp8 is None
        and all(isinstance(layer.self_attention, CachingSelfAttention) for layer in model.chunks[0].decoder.layers)
    )


def _layer(layer: Any) -> _Layer:
    """Out of Megatron's TransformerLayer of the local layer spec."""
    attention, feed_forward = layer.self_attention, layer.mlp
    return _Layer(
        number=attention.layer_number,
        attention_norm=layer.input_layernorm,
        qkv=_linear(attention.linear_qkv.weight, attention.linear_qkv.bias),
        query_norm=attention.q_layernorm,
        key_norm=attention.k_layernorm,
        projection=_linear(attention.linear_proj.weight, attention.linear_proj.bias),
        feed_forward_norm=layer.pre_mlp_layernorm,
        up=_linear(feed_forward.linear_fc1.weight, feed_forward.linear_fc1.bias),
        down=_linear(feed_forward.linear_fc2.weight, feed_forward.linear_fc2.bias),
    )


def _linear(weight: Tensor, bias: Tensor | None) -> Linear:
    """Its weight in oneDNN's own order where torch has it (these are the operations that torch.compile uses)."""
    weight = weight.detach()
    bias = None if bias is None else bias.detach()
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return lambda inputs: functional.linear(inputs, weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight)
    product = torch.ops.mkldnn._linear_pointwise
    return lambda inputs: product(inputs, packed, bias, "none", [], "")


def _turned(heads: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """[..., D], of which the first channels are rotated by as many angles: pairs are half of them apart."""
    cosines, sines = turn
    rotated = heads[..., : cosines.shape[-1]]
    one, other = rotated.chunk(2, dim=-1)
    turned = rotated * cosines + torch.cat((-other, one), dim=-1) * sines
    return turned if turned.shape == heads.shape else torch.cat((turned, heads[..., cosines.shape[-1] :]), dim=-1)

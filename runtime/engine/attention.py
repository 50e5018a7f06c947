"""Core attention and self-attention for Megatron's local layer spec, in plain torch.

Shapes: L query tokens, M key tokens (M >= L: the queries are the last L), B batch, N query heads, G key/value groups,
R = N / G, D channels of a head. Megatron passes [tokens, batch, heads, channels].
"""

import functools
import math
from typing import Any

import torch
from megatron.core.inference.contexts.static_context import StaticInferenceContext
from megatron.core.models.common.embeddings.rope_utils import _apply_rotary_pos_emb_bshd, apply_rotary_pos_emb
from megatron.core.transformer.attention import SelfAttention
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor, nn
from torch.nn import functional

from runtime.engine import sequence
from runtime.engine.packing import Packing

# Forward and backward in fp32 on one core of an AMD EPYC (Zen 3, AVX2), 4 heads of 32 in 2 groups, torch 2.13,
# milliseconds, torch's fused attention against matmul-softmax-matmul with the group's heads folded into the rows:
#   256 x 16 tokens 12.5 / 5.3     128 x 32 8.9 / 8.0     64 x 64 11.9 / 11.0     16 x 128 10.3 / 10.2
#   8 x 256 17.5 / 27.6            4 x 512 37.1 / 39.4
# Without a gradient the fused one wins from 32 tokens on (2.2 / 2.5), and in bf16 always (its blocks compute in fp32).
_LONGEST_FOLDED_WITH_GRADIENT = 128
_LONGEST_FOLDED_WITHOUT_GRADIENT = 16


class CoreAttention(nn.Module):
    """Softmax(q k^T / sqrt(D)) v, causal; named by the layer spec in place of Megatron's DotProductAttention.

    `attention_mask` is None for plain causal attention, else a tensor to add to the scores, [B, 1, L or 1, M], that
    already says everything about who sees whom (generation over left-padded rows, documents in one row). With context
    parallelism L are this rank's queries, and M the keys of all ranks in the order of the sequence.
    """

    def __init__(
        self,
        config: TransformerConfig,
        layer_number: int,
        attn_mask_type: Any,
        attention_type: str,
        softmax_scale: float | None = None,
        cp_comm_type: str | None = None,
        pg_collection: Any = None,
        **_: Any,
    ) -> None:
        super().__init__()
        self.ranks = config.context_parallel_size
        self.scale = softmax_scale

    def forward(
        self,
        query_LBND: Tensor,
        key_MBGD: Tensor,
        value_MBGD: Tensor,
        attention_mask: Tensor | None,
        /,
        *,
        attn_mask_type: Any = None,
        attention_bias: Tensor | None = None,
        packed_seq_params: Any = None,
    ) -> Tensor:
        """Returns [L, B, N * D]. With a `Packing` the one row (B = 1) holds sequences that do not see each other."""
        if attention_bias is not None:
            raise ValueError("attention bias is not supported by the local attention")
        if packed_seq_params is None:
            if self.ranks > 1:
                # A rank's queries look at the keys of all ranks. If they looked at its own alone, the loss would be
                # wrong (by 7e-3) without a word.
                key_MBGD, value_MBGD = (sequence.joined(part, summed=True) for part in (key_MBGD, value_MBGD))
                if attention_mask is None:
                    num_keys = key_MBGD.shape[0]
                    causal = _causal(num_keys, num_keys, query_LBND.dtype, query_LBND.device)
                    attention_mask = sequence.divided(causal, 0)[None, None]
            return self._attend(query_LBND, key_MBGD, value_MBGD, attention_mask)
        if not isinstance(packed_seq_params, Packing) or attention_mask is not None:
            raise ValueError("the local attention takes a Packing alone, or a mask alone")
        if self.ranks == 1:
            return packed_seq_params.attend(self._attend, query_LBND, key_MBGD, value_MBGD)
        # Sequences lie across ranks: each computes the attention of all, and keeps its own tokens'.
        whole = (sequence.joined(part, summed=True) for part in (query_LBND, key_MBGD, value_MBGD))
        return sequence.divided(packed_seq_params.attend(self._attend, *whole), 0)

    def _attend(
        self, query_LBND: Tensor, key_MBGD: Tensor, value_MBGD: Tensor, attention_mask: Tensor | None = None
    ) -> Tensor:
        num_tokens = query_LBND.shape[0]
        longest = _LONGEST_FOLDED_WITH_GRADIENT if torch.is_grad_enabled() else _LONGEST_FOLDED_WITHOUT_GRADIENT
        if query_LBND.is_cpu and query_LBND.dtype == torch.float32 and num_tokens <= longest:
            return _folded(query_LBND, key_MBGD, value_MBGD, attention_mask, self.scale)
        return _fused(query_LBND, key_MBGD, value_MBGD, attention_mask, self.scale)


def _fused(
    query_LBND: Tensor, key_MBGD: Tensor, value_MBGD: Tensor, mask: Tensor | None, scale: float | None
) -> Tensor:
    num_queries, num_rows, num_heads, head_dim = query_LBND.shape
    is_square = num_queries == key_MBGD.shape[0]
    if mask is None and not is_square and num_queries > 1:
        mask = _causal(num_queries, key_MBGD.shape[0], query_LBND.dtype, query_LBND.device)
    context_BNLD = functional.scaled_dot_product_attention(
        query_LBND.permute(1, 2, 0, 3),
        key_MBGD.permute(1, 2, 0, 3),
        value_MBGD.permute(1, 2, 0, 3),
        attn_mask=mask,
        is_causal=mask is None and is_square and num_queries > 1,
        enable_gqa=True,
        scale=scale,
    )
    return context_BNLD.permute(2, 0, 1, 3).reshape(num_queries, num_rows, num_heads * head_dim)


def _folded(
    query_LBND: Tensor, key_MBGD: Tensor, value_MBGD: Tensor, mask: Tensor | None, scale: float | None
) -> Tensor:
    """The R query heads that share a key are R * L rows of one matrix product, so keys are never repeated."""
    num_queries, num_rows, num_heads, head_dim = query_LBND.shape
    num_keys, _, num_groups, _ = key_MBGD.shape
    heads_per_group = num_heads // num_groups
    query = query_LBND.view(num_queries, num_rows, num_groups, heads_per_group, head_dim)
    query = query.permute(1, 2, 3, 0, 4).reshape(num_rows * num_groups, heads_per_group * num_queries, head_dim)
    key = key_MBGD.permute(1, 2, 3, 0).reshape(num_rows * num_groups, head_dim, num_keys)
    value = value_MBGD.permute(1, 2, 0, 3).reshape(num_rows * num_groups, num_keys, head_dim)
    scale = 1 / math.sqrt(head_dim) if scale is None else scale
    if mask is None:
        causal_LM = _causal(num_queries, num_keys, query.dtype, query.device)
        scores = torch.baddbmm(causal_LM.repeat(heads_per_group, 1), query, key, alpha=scale)
    else:
        scores = torch.bmm(query, key).mul_(scale)
        by_row = scores.view(num_rows, num_groups * heads_per_group, num_queries, num_keys)
        by_row += mask  # in place on both lines: neither the product nor the sum is needed by a backward pass
    context = torch.bmm(scores.softmax(dim=-1), value)
    context = context.view(num_rows, num_groups, heads_per_group, num_queries, head_dim)
    return context.permute(3, 0, 1, 2, 4).reshape(num_queries, num_rows, num_heads * head_dim)


@functools.lru_cache(maxsize=64)
def _causal(num_queries: int, num_keys: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[L, M]: 0 where the query may look, -inf where the key comes later."""
    blocked = torch.full((num_queries, num_keys), float("-inf"), dtype=dtype, device=device)
    return blocked.triu(num_keys - num_queries + 1)


def document_mask(documents_BL: Tensor, dtype: torch.dtype) -> Tensor:
    """[B, 1, L, L] to add to the scores: 0 where the key is not later and of the query's own document, else -inf."""
    num_tokens = documents_BL.shape[1]
    apart = (documents_BL[:, None, :, None] != documents_BL[:, None, None, :]).to(dtype)
    return apart.masked_fill_(apart.bool(), float("-inf")) + _causal(num_tokens, num_tokens, dtype, documents_BL.device)


class RowsContext(StaticInferenceContext):  # type: ignore[misc]  # megatron carries no types here
    """A cache of rows that are differently long: each writes its next token behind its own last one."""

    def __init__(self, caches: dict[int, tuple[Tensor, Tensor]], lengths_B: Tensor, *, longest: int, room: int) -> None:
        """`caches`: layer -> keys and values, [S, G, M, D], of which the first B rows are under way; `longest`: tokens
        of the longest row, the new one included; `room`: of the longest that the model can read."""
        super().__init__(len(lengths_B), room)
        self.key_value_memory_dict = caches
        self.lengths_B = lengths_B
        self.longest = longest
        self.sequence_len_offset = longest - 1
        self.enable_decode_mode()


class CachingSelfAttention(SelfAttention):  # type: ignore[misc]  # megatron carries no types here
    """SelfAttention with a cache of its own order: keys already rotated, [B, G, M, D], ready for a matrix product.

    Megatron's static cache keeps keys as projected and rotates all of them again at every token (attention.py:600-640),
    in an order that has to be copied before it can be multiplied.
    """

    def _adjust_key_value_for_inference(
        self,
        inference_context: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        rotary_pos_emb: tuple[Tensor, Tensor] | None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        if inference_context is None or not inference_context.is_static_batching():
            return super()._adjust_key_value_for_inference(
                inference_context, query, key, value, rotary_pos_emb, *args, **kwargs
            )
        if isinstance(inference_context, RowsContext):
            return *self._append(inference_context, query, key, value, rotary_pos_emb), None, self.attn_mask_type, None
        begin = inference_context.sequence_len_offset
        end = begin + key.shape[0]
        if rotary_pos_emb is not None:
            group = self.pg_collection.cp
            angles_query, angles_key = (angles[begin:end] for angles in rotary_pos_emb)
            query = apply_rotary_pos_emb(query, angles_query, config=self.config, cp_group=group)
            key = apply_rotary_pos_emb(key, angles_key, config=self.config, cp_group=group)
        caches = inference_context.key_value_memory_dict
        if self.layer_number not in caches:
            _, num_rows, num_groups, head_dim = key.shape
            shape = (num_rows, num_groups, inference_context.max_sequence_length, head_dim)
            caches[self.layer_number] = (key.new_empty(shape), value.new_empty(shape))
        keys_BGMD, values_BGMD = caches[self.layer_number]
        keys_BGMD[:, :, begin:end] = key.permute(1, 2, 0, 3)
        values_BGMD[:, :, begin:end] = value.permute(1, 2, 0, 3)
        key = keys_BGMD[:, :, :end].permute(2, 0, 1, 3)
        value = values_BGMD[:, :, :end].permute(2, 0, 1, 3)
        return query, key, value, None, self.attn_mask_type, None

    def _append(
        self,
        context: RowsContext,
        query_LBND: Tensor,
        key_LBGD: Tensor,
        value_LBGD: Tensor,
        rotary_pos_emb: tuple[Tensor, Tensor] | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One more token a row (L = 1), each at its own position."""
        lengths_B = context.lengths_B
        if rotary_pos_emb is not None:
            # [M, 1, 1, D] by row; Megatron's fused kernel knows one position for all rows.
            angles_query, angles_key = (angles[lengths_B].transpose(0, 1) for angles in rotary_pos_emb)
            interleaved = self.config.rotary_interleaved
            query_LBND = _apply_rotary_pos_emb_bshd(query_LBND, angles_query, interleaved)
            key_LBGD = _apply_rotary_pos_emb_bshd(key_LBGD, angles_key, interleaved)
        keys_SGMD, values_SGMD = context.key_value_memory_dict[self.layer_number]
        rows_B = torch.arange(len(lengths_B), device=lengths_B.device)
        keys_SGMD[rows_B, :, lengths_B] = key_LBGD[0]
        values_SGMD[rows_B, :, lengths_B] = value_LBGD[0]
        keys, values = (cache[: len(lengths_B), :, : context.longest] for cache in (keys_SGMD, values_SGMD))
        return query_LBND, keys.permute(2, 0, 1, 3), values.permute(2, 0, 1, 3)

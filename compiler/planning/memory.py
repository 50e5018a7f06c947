"""Bytes that training takes on one GPU, on the pipeline stage that takes most.

    memory = training_memory(run)        # of compiler.planning.throughput.Run
    memory.total, memory.parts

Parameters and gradients as Megatron-core keeps them (16-bit parameters, fp32 gradients, fp32 main parameters and two
moments, divided over data- and context-parallel ranks by the distributed optimizer); activations by what the backward
pass needs of each layer where core attention is a flash kernel (after Korthikanti et al., arXiv 2205.05198, section 4),
for as many micro-batches as are under way on the first stage.
"""

from dataclasses import dataclass

from compiler.planning.parameters import count_parameters
from compiler.planning.throughput import Run
from compiler.schema.model import ModelSpec

WORKSPACE_BYTES = 1.0e9
"""Of matrix products and collectives; our guess."""


@dataclass(frozen=True)
class Memory:
    """Bytes by what they hold."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    fp8_copies: float
    buffers: float
    cache: float = 0.0
    """Keys and values of generation."""

    @property
    def total(self) -> float:
        """All of it."""
        return sum(self.parts.values())

    @property
    def parts(self) -> dict[str, float]:
        """By name."""
        return dict(vars(self))


def training_memory(run: Run, *, gradient_bytes: float = 4.0, dtype_bytes: float = 2.0) -> Memory:
    """Of the first or the last pipeline stage, whichever takes more.

    `gradient_bytes` of each gradient that is kept (2 where they are reduced in 16 bits), `dtype_bytes` of a parameter.
    """
    stages = [
        _stage(run, first, gradient_bytes, dtype_bytes) for first in ((True, False) if run.layout.pp > 1 else (True,))
    ]
    return max(stages, key=lambda stage: stage.total)


def _stage(run: Run, first: bool, gradient_bytes: float, dtype_bytes: float) -> Memory:
    layout, model = run.layout, run.model
    alone = layout.pp == 1
    parameters = count_parameters(model)
    ends = parameters.embedding / (1 if alone or model.tie_embeddings else 2)
    held = (parameters.non_embedding / layout.pp + ends) / layout.tp
    shards = layout.dp * layout.cp if run.distributed_optimizer else 1
    # With 32-bit parameters the main ones are these themselves.
    optimizer_bytes = 12.0 if dtype_bytes < 4 else 8.0
    tokens = run.micro_batch_size * run.seq_length / layout.cp
    logits = tokens * model.vocab_size / layout.tp * (dtype_bytes + 8.0)
    matrices = model.num_layers * model.gemm_weights_per_layer / (layout.tp * layout.pp)
    return Memory(
        weights=dtype_bytes * held,
        gradients=gradient_bytes * held,
        optimizer=optimizer_bytes * held / shards,
        activations=tokens * _under_way(run, first) * _layer_bytes(run, dtype_bytes)
        + _working_set(run, tokens, dtype_bytes),
        logits=logits if alone or not first else 0.0,
        fp8_copies=2.0 * matrices if run.fp8 else 0.0,
        buffers=WORKSPACE_BYTES,
    )


def _under_way(run: Run, first: bool) -> float:
    """Layers' worth of activations that are kept, on the first stage or on the last: of as many forward passes of a
    chunk as Megatron-core's schedule begins before the first backward pass, and one."""
    layout = run.layout
    chunks = run.layout.pp if layout.vpp == 1 else 2 * (layout.pp - 1) + (layout.vpp - 1) * layout.pp + 1
    if not first:
        chunks = (layout.vpp - 1) * layout.pp + 1
    return run.model.num_layers / (layout.pp * layout.vpp) * min(chunks, run.micro_batches * layout.vpp)


def _layer_bytes(run: Run, dtype_bytes: float) -> float:
    """Of one token in one layer, kept for its backward pass."""
    model, tp = run.model, run.layout.tp
    if run.recompute == "full":
        return dtype_bytes * model.hidden_size / _sequence_shards(run)
    residual = 4 * model.hidden_size / _sequence_shards(run)
    kept = dtype_bytes * (residual + _inner(model) / tp)
    return kept - _saved_by_fp8(run) if run.fp8 else kept


def _saved_by_fp8(run: Run) -> float:
    """Inputs of matrix products are kept in 8 bits: what norms give and what the MLP's activation makes. What attention
    gives is kept in both forms, for its own backward pass and for the product that reads it."""
    model, tp = run.model, run.layout.tp
    width = model.num_attention_heads * model.head_dim
    return 2 * model.hidden_size / _sequence_shards(run) + (model.ffn_hidden_size - width) / tp


def _inner(model: ModelSpec) -> int:
    """Values of one token inside attention and MLP: queries, keys and values, what attention gives, what the first
    matrix of the MLP gives, and what its activation makes of it."""
    width = model.num_attention_heads * model.head_dim
    key_value_width = model.num_query_groups * model.head_dim
    return 2 * width + 2 * key_value_width + (3 if model.gated else 2) * model.ffn_hidden_size


def _working_set(run: Run, tokens: float, dtype_bytes: float) -> float:
    """What recomputation holds of the one layer that it is at."""
    if run.recompute != "full":
        return 0.0
    residual = 4 * run.model.hidden_size / _sequence_shards(run)
    return tokens * dtype_bytes * (residual + _inner(run.model) / run.layout.tp)


def _sequence_shards(run: Run) -> int:
    return run.layout.tp if run.sequence_parallel else 1

"""Seconds and bytes of answering with a model of ours on GPUs: prompts are read at once, then tokens come one by one.

    asked = Answering(model, layout, gpu, requests=5000, rows=256, prompt_tokens=80, new_tokens=512, longest=1024)
    answering_time(asked).seconds, answering_memory(asked).total

Reading is the forward part of a training step (compute bound, `throughput`). Writing is bound by memory: each token of
a batch reads every weight once and the keys and values of all rows that still write, so that

    step = max(bytes of weights, FLOPs of the rows) + bytes of keys and values + collectives,

and no less than the host needs to launch it. The constants are fitted on published throughputs of TensorRT-LLM
(`benchmarks/calibrate_generation.py`), but the host's: that was measured on our engine, whose launches no graph
records.
"""

from dataclasses import dataclass
from math import ceil

from compiler.planning.hardware import GpuType
from compiler.planning.memory import WORKSPACE_BYTES, Memory
from compiler.planning.parameters import count_parameters
from compiler.planning.throughput import Run, Seconds, forward_time
from compiler.schema.model import Layout, ModelSpec


@dataclass(frozen=True)
class DecodeConstants:
    """How much of its data sheet a GPU reaches while it writes."""

    bandwidth: float = 0.92
    """Share of the memory's bandwidth at which weights and caches are read."""
    compute: float = 0.67
    """Share of the peak that the matrix products of many rows reach."""
    all_reduce_s: float = 25e-6
    """Latency of one all-reduce among the tensor-parallel ranks of a node."""
    layer_s: float = 95e-6
    """Seconds of one layer that no size explains: kernels that are too short to fill the GPU."""
    host_layer_s: float = 800e-6
    """In which the host launches the kernels of one layer: our engine on one core of an AMD EPYC, with layers so small
    that nothing else takes time. A step waits for it where the GPU is done sooner."""


DECODE = DecodeConstants()


@dataclass(frozen=True)
class Answering:
    """Requests to one model, on one replica of it."""

    model: ModelSpec
    layout: Layout
    gpu: GpuType
    requests: float
    rows: int
    """Of one batch; a batch is done when its longest row is."""
    prompt_tokens: float
    """Mean."""
    new_tokens: float = 0.0
    """Mean; 0 where rows are only read (a reward model, a frozen reference)."""
    longest: int = 0
    """Most new tokens: what the cache has room for, and the steps of a batch."""
    answers: float = 1.0
    """To each prompt, which is read once for all of them."""
    dtype_bytes: float = 2.0
    """Of a weight, and of a cached value."""
    fp8: bool = False
    """Whether matrix products are of 8 bits."""
    cache_reads: float = 1.0
    """Times that a key is read for the query heads that share it: 1, or as many as they are in kernels that do not
    know of sharing."""


@dataclass(frozen=True)
class AnsweringTime(Seconds):
    """Seconds by what takes them."""

    reading: float
    """Of prompts, or of whole rows that are scored."""
    weights: float
    """Reading weights for each new token, or what their products take where that is longer."""
    cache: float
    """Reading keys and values."""
    collectives: float
    launches: float
    """What no size explains, and waiting for the host."""


def answering_time(asked: Answering, constants: DecodeConstants = DECODE) -> AnsweringTime:
    """Of all requests of the replica, batch after batch."""
    rows = min(asked.rows, max(1.0, asked.requests))
    if not asked.new_tokens:
        return AnsweringTime(_reading(asked, asked.requests, rows), 0.0, 0.0, 0.0, 0.0)
    batches = asked.requests / rows
    reading = batches * _reading(asked, rows / asked.answers, ceil(rows / asked.layout.pp))
    model, layout, gpu = asked.model, asked.layout, asked.gpu
    steps = max(asked.longest, asked.new_tokens)
    alive = rows * asked.new_tokens / steps
    # Pipelined, the rows are as many groups as there are stages, and each group reads the weights anew.
    groups = min(layout.pp, rows)
    matrices = model.num_layers * model.gemm_weights_per_layer + model.hidden_size * model.vocab_size
    bandwidth = gpu.memory_bandwidth * constants.bandwidth
    read = matrices * asked.dtype_bytes / (layout.tp * layout.pp) * groups / bandwidth
    peak = (gpu.peak_flops_8 if asked.fp8 else gpu.peak_flops_16) * constants.compute
    products = 2 * matrices * alive / (layout.tp * layout.pp) / peak
    written = _cached_when_read(asked)
    cache = rows * written * _cache_bytes(asked) * asked.cache_reads / bandwidth
    reduced = 2 * model.num_layers * groups / layout.pp * _all_reduce(asked, alive / groups, constants)
    gaps = model.num_layers * groups / layout.pp * constants.layer_s
    busy = steps * (max(read, products) + reduced + gaps) + cache
    host = steps * model.num_layers * groups / layout.pp * constants.host_layer_s
    return AnsweringTime(
        reading=reading,
        weights=batches * steps * max(read, products),
        cache=batches * cache,
        collectives=batches * steps * reduced,
        launches=batches * (steps * gaps + max(0.0, host - busy)),
    )


def answering_memory(asked: Answering) -> Memory:
    """Of one GPU: the stage of the pipeline that holds the head."""
    model, layout = asked.model, asked.layout
    parameters = count_parameters(model)
    ends = parameters.embedding / (1 if layout.pp == 1 or model.tie_embeddings else 2)
    rows = min(asked.rows, max(1.0, asked.requests))
    tokens = rows * asked.prompt_tokens / layout.cp
    longest = asked.prompt_tokens + asked.longest
    logits = 0.0
    if asked.new_tokens:
        # Gathered over tensor-parallel ranks; then as 32-bit values, their probabilities, and these summed in 64 bits.
        logits = rows * model.vocab_size * (asked.dtype_bytes + 16)
    return Memory(
        weights=asked.dtype_bytes * (parameters.non_embedding / layout.pp + ends) / layout.tp,
        gradients=0.0,
        optimizer=0.0,
        activations=tokens * asked.dtype_bytes * _read_values(asked),
        logits=logits,
        fp8_copies=0.0,
        buffers=WORKSPACE_BYTES,
        cache=rows * longest * _cache_bytes(asked) if asked.new_tokens else 0.0,
    )


def _reading(asked: Answering, requests: float, rows: float) -> float:
    """Seconds in which so many prompts are read, so many rows at a time, one batch behind the other through the
    pipeline."""
    size = max(1, round(rows))
    run = Run(
        asked.model,
        asked.layout.model_copy(update={"dp": 1}),
        asked.gpu,
        seq_length=max(1, round(asked.prompt_tokens)),
        global_batch_size=max(size, round(requests)),
        micro_batch_size=size,
        fp8=asked.fp8,
        sequence_parallel=False,
    )
    return forward_time(run)


def _read_values(asked: Answering) -> float:
    """Values of one token that are there at once while it is read: the residual stream, its normalized copy and what
    is added to it, and the widest of what lies between, in attention or in the MLP."""
    model, tp = asked.model, asked.layout.tp
    width = model.num_attention_heads * model.head_dim
    attention = 2 * width + 2 * model.num_query_groups * model.head_dim
    return 3 * model.hidden_size + max(attention, (3 if model.gated else 2) * model.ffn_hidden_size) / tp


def _cached_when_read(asked: Answering) -> float:
    """Tokens in the cache, summed over the tokens that a row writes: prompt * E[n] + E[n^2] / 2.

    Where every row writes to the limit n is the same for all; else lengths are taken as spread evenly up to twice
    their mean (E[n^2] = 4/3 E[n]^2).
    """
    mean = asked.new_tokens
    square = min(mean * max(asked.longest, mean), 4 / 3 * mean**2)
    return asked.prompt_tokens * mean + square / 2


def _cache_bytes(asked: Answering) -> float:
    """Keys and values of one token on one GPU; heads that are fewer than the ranks are kept on several."""
    model, layout = asked.model, asked.layout
    heads = ceil(model.num_query_groups / layout.tp)
    return 2 * heads * model.head_dim * model.num_layers / layout.pp * asked.dtype_bytes


def _all_reduce(asked: Answering, rows: float, constants: DecodeConstants) -> float:
    layout, gpu = asked.layout, asked.gpu
    if layout.tp == 1:
        return 0.0
    inside = layout.tp <= gpu.nvlink_domain
    moved = 2 * rows * asked.model.hidden_size * 2 * (layout.tp - 1) / layout.tp
    return constants.all_reduce_s + moved / (gpu.nvlink_bandwidth if inside else gpu.network_bandwidth)

"""Seconds of one optimizer step of Megatron-core, from the model's shape, the layout and the GPU.

    time = step_time(Run(model, layout, gpu, seq_length=4096, global_batch_size=768, micro_batch_size=1))
    time.seconds, time.parts                      # parts sum to the seconds

The time of a micro-batch on the slowest pipeline stage, times the micro-batches and the bubble
(1 + (pp - 1) / (vpp m): Narayanan et al., arXiv 2104.04473, section 2.2), plus what is not hidden of the gradients'
reduction, plus the optimizer. Matrix products run at a fitted share of the peak and read and write memory besides;
element-wise work, casts to FP8 and weights are counted in bytes at the memory's bandwidth, tensor-parallel collectives
in bytes at NVLink's. How much of the rest shows are the fitted constants below.
"""

from dataclasses import dataclass

from compiler.planning.hardware import GpuType
from compiler.planning.parameters import count_parameters
from compiler.schema.model import Layout, ModelSpec


@dataclass(frozen=True)
class Constants:
    """What is fitted for all GPUs together (`benchmarks/calibrate.py`)."""

    attention: float = 0.376
    """Share of the 16-bit peak that core attention reaches."""
    gemm_io: float = 1.59
    """Times that matrix products' inputs and outputs pass through memory, unhidden, in each of their three products."""
    context_parallel: float = 0.166
    """Share of the exchange of keys and values that shows."""
    pipeline: float = 0.199
    """Likewise of what is sent between pipeline stages."""
    data_parallel: float = 0.098
    """Likewise of the reduction of gradients and the gathering of parameters."""
    layer_s: float = 40e-6
    """Seconds of one layer, forward and backward, that no size explains: launches and their gaps."""
    step_s: float = 0.145
    """Seconds of a step that no size explains: norms of gradients, the optimizer's launches, data, logs."""
    early: float = 1.105
    """Times as long a step takes with software of before `EARLY`."""


FITTED = Constants()

EARLY = 2408
"""Year and month: NVIDIA's containers of until July 2024 are slower than all that came since."""


@dataclass(frozen=True)
class Run:
    """A training step to be timed. Batches are in sequences."""

    model: ModelSpec
    layout: Layout
    gpu: GpuType
    seq_length: int
    global_batch_size: int
    micro_batch_size: int
    fp8: bool = False
    recompute: str = "none"
    """none, selective or full."""
    distributed_optimizer: bool = True
    sequence_parallel: bool = True
    causal: bool = True
    """Whether core attention skips what is masked, as flash kernels do."""
    software: int | None = None
    """Year and month of the software, 2407 say; today's where absent."""

    @property
    def micro_batches(self) -> int:
        """Of one step, on each pipeline."""
        return max(1, self.global_batch_size // (self.layout.dp * self.micro_batch_size))


class Seconds:
    """Of records whose fields are seconds, each of something else."""

    @property
    def seconds(self) -> float:
        """All of it."""
        return sum(self.parts.values())

    @property
    def parts(self) -> dict[str, float]:
        """By name."""
        return dict(vars(self))


@dataclass(frozen=True)
class StepTime(Seconds):
    """Seconds of a step by what takes them."""

    gemm: float
    attention: float
    elementwise: float
    tensor_parallel: float
    context_parallel: float
    overhead: float
    pipeline: float
    bubble: float
    data_parallel: float
    optimizer: float
    step: float


def step_time(run: Run, constants: Constants = FITTED) -> StepTime:
    """The time of one step; nothing in it is rounded."""
    layout, micro_batches = run.layout, run.micro_batches
    layer, head = _layer(run, constants, _passes(run)), _head(run)
    layers = _layers_of_slowest_stage(run, layer.total, head)
    with_head = layout.pp == 1 or layers.has_head
    n = layers.count
    micro = {
        "gemm": n * layer.gemm + (head if with_head else 0.0),
        "attention": n * layer.attention,
        "elementwise": n * layer.elementwise,
        "tensor_parallel": n * layer.tensor_parallel,
        "context_parallel": n * layer.context_parallel,
        "overhead": n * constants.layer_s * _passes(run) / 3,
        "pipeline": _sent(run) * constants.pipeline,
    }
    slower = constants.early if run.software is not None and run.software < EARLY else 1.0
    parts = {
        **{name: seconds * micro_batches for name, seconds in micro.items()},
        "bubble": sum(micro.values()) * (layout.pp - 1) / layout.vpp,
        "data_parallel": _reduced(run) * constants.data_parallel,
        "optimizer": _optimizer(run),
        "step": constants.step_s,
    }
    return StepTime(**{name: seconds * slower for name, seconds in parts.items()})


def forward_time(run: Run, constants: Constants = FITTED) -> float:
    """Seconds in which one data-parallel replica reads its share of the batch and no more: one pass, no gradients."""
    layer = _layer(run, constants, passes=1)
    layers = run.model.num_layers / run.layout.pp
    micro = layers * (layer.total + constants.layer_s / 3) + _head(run) / 3 + _sent(run) / 2 * constants.pipeline
    return micro * (run.micro_batches + run.layout.pp - 1)


@dataclass(frozen=True)
class _Layer:
    gemm: float
    attention: float
    elementwise: float
    tensor_parallel: float
    context_parallel: float

    @property
    def total(self) -> float:
        return self.gemm + self.attention + self.elementwise + self.tensor_parallel + self.context_parallel


def _tokens(run: Run) -> float:
    """Of one micro-batch on one rank of a context-parallel group."""
    return run.micro_batch_size * run.seq_length / run.layout.cp


def _passes(run: Run) -> int:
    """Forward passes' worth of matrix products: one forward, two backward, one more where all is recomputed."""
    return 4 if run.recompute == "full" else 3


def _layer(run: Run, constants: Constants, passes: int) -> _Layer:
    """Of so many forward passes' worth; with one, nothing is differentiated."""
    model, layout, gpu, tokens = run.model, run.layout, run.gpu, _tokens(run)
    width, key_value_width = _widths(model)
    weights = model.gemm_weights_per_layer / layout.tp
    peak = (gpu.peak_flops_8 if run.fp8 else gpu.peak_flops_16) * gpu.gemm_efficiency
    scores = 4 * run.micro_batch_size * run.seq_length**2 * width / (layout.tp * layout.cp) / (2 if run.causal else 1)
    # Flash kernels recompute the scores in the backward pass: 2.5 forwards (Dao, arXiv 2307.08691, section 4).
    attention_passes = 3.5 + (run.recompute in ("full", "selective")) if passes > 1 else 1
    moved = _product_bytes(run) * constants.gemm_io * passes + _weight_bytes(run, passes) * weights
    cast = _cast_bytes(run, passes) if run.fp8 else 0.0
    # Two all-gathers and two reduce-scatters forward, as many backward, of the residual stream.
    gathered = 2 * tokens * model.hidden_size * (layout.tp - 1) / layout.tp
    exchanged = 2 * 2 * tokens * key_value_width / layout.tp * (layout.cp - 1) * (3 if passes > 1 else 1)
    inside = layout.tp * layout.cp <= gpu.nvlink_domain
    return _Layer(
        gemm=2 * tokens * weights * passes / peak + moved / gpu.memory_bandwidth,
        attention=scores * attention_passes / (gpu.peak_flops_16 * constants.attention),
        elementwise=(_elementwise_bytes(run) * passes + cast) / gpu.memory_bandwidth,
        tensor_parallel=gathered * 8 / 3 * passes / gpu.nvlink_bandwidth,
        context_parallel=exchanged
        / (gpu.nvlink_bandwidth if inside else gpu.network_bandwidth)
        * constants.context_parallel,
    )


def _widths(model: ModelSpec) -> tuple[int, int]:
    """Of all queries, and of all keys (or values)."""
    return model.num_attention_heads * model.head_dim, model.num_query_groups * model.head_dim


def _weight_bytes(run: Run, passes: int) -> float:
    """Of each weight, for each micro-batch: it is read forward and backward, and the fp32 sum of its gradients is read
    and written."""
    read = 1 if run.fp8 else 2
    return 8 + 2 * read if passes > 1 else read


def _product_bytes(run: Run) -> float:
    """Inputs and outputs of one pass of a layer's products, in 16 bits. What lies between tensor-parallel layers is
    whole on each rank: read by the first of two products, written by the second."""
    model, tp = run.model, run.layout.tp
    width, key_value_width = _widths(model)
    inner = 2 * width + 2 * key_value_width + (3 if model.gated else 2) * model.ffn_hidden_size
    return 2 * _tokens(run) * (4 * model.hidden_size + inner / tp)


def _elementwise_bytes(run: Run) -> float:
    """Read and written by norms and residuals (10 tensors of the hidden size forward, 12 backward), by the turning of
    queries and keys, and by the MLP's activation; a third of forward and backward, in 16 bits."""
    model, tp = run.model, run.layout.tp
    width, key_value_width = _widths(model)
    activation = (3 if model.gated else 2) * model.ffn_hidden_size
    tensors = 22 / 3 * model.hidden_size + 2 * (width + 2 * key_value_width) + activation
    return 2 * _tokens(run) * tensors / tp


def _cast_bytes(run: Run, passes: int) -> float:
    """Casts to 8 bits, 4 bytes a value: read in 16 bits, written as it is and transposed. Inputs of the products
    forward (again where that is recomputed), gradients of their outputs backward."""
    model, tp = run.model, run.layout.tp
    width, key_value_width = _widths(model)
    inputs = 2 * model.hidden_size + (width + model.ffn_hidden_size) / tp
    first = width + 2 * key_value_width + (2 if model.gated else 1) * model.ffn_hidden_size
    gradients = 2 * model.hidden_size + first / tp
    forward = max(1, passes - 2)
    return 4 * _tokens(run) * (inputs * forward + gradients * (passes > 1))


def _head(run: Run) -> float:
    """Logits, forward and backward; always in 16 bits."""
    flops = 6 * _tokens(run) * run.model.hidden_size * run.model.vocab_size / run.layout.tp
    return flops / (run.gpu.peak_flops_16 * run.gpu.gemm_efficiency)


@dataclass(frozen=True)
class _Slowest:
    count: float
    has_head: bool


def _layers_of_slowest_stage(run: Run, layer: float, head: float) -> _Slowest:
    """Layers on the pipeline stage that the others wait for. Where embedding and logits count as a layer each (126
    layers on 8 x 8 chunks), the last stage has one layer less."""
    layers, layout = run.model.num_layers, run.layout
    chunks = layout.pp * layout.vpp
    if layout.pp == 1:
        return _Slowest(layers, has_head=True)
    if layers % chunks and (layers + 2) % chunks == 0:
        most = (layers + 2) / layout.pp
        inner = layout.pp > 2
        last = (most - 1) * layer + head
        full = most if inner else most - 1
        return _Slowest(full, has_head=False) if full * layer >= last else _Slowest(most - 1, has_head=True)
    return _Slowest(layers / layout.pp, has_head=True)


def _sent(run: Run) -> float:
    """Seconds of activations and their gradients between neighbouring stages, for one micro-batch."""
    if run.layout.pp == 1:
        return 0.0
    size = 2 * _tokens(run) * run.model.hidden_size / run.layout.tp
    return 2 * run.layout.vpp * size / run.gpu.network_bandwidth


def _parameters_of_rank(run: Run) -> float:
    return count_parameters(run.model).total / (run.layout.tp * run.layout.pp)


def _reduced(run: Run) -> float:
    """Seconds of reducing gradients (fp32) and gathering parameters (16 bits) over data- and context-parallel ranks."""
    layout, gpu = run.layout, run.gpu
    ranks = layout.dp * layout.cp
    if ranks == 1:
        return 0.0
    inside = layout.world_size <= gpu.nvlink_domain
    return (
        6 * _parameters_of_rank(run) * (ranks - 1) / ranks / (gpu.nvlink_bandwidth if inside else gpu.network_bandwidth)
    )


def _optimizer(run: Run) -> float:
    """Seconds of Adam: moments, main parameters and gradients are read, all but the last written, in fp32."""
    ranks = run.layout.dp * run.layout.cp if run.distributed_optimizer else 1
    return 30 * _parameters_of_rank(run) / ranks / run.gpu.memory_bandwidth

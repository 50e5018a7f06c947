"""Small models and made-up batches that the engine's tests share."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from compiler.schema.model import Layout, ModelSpec, Precision
from compiler.schema.training import Optimizer
from runtime.engine.batch import Batch, pack
from runtime.engine.model import Model, Regression, build
from runtime.engine.objective import LossOutput, next_token
from runtime.engine.parallel import Options

NO_OPTIONS = Options()
FP32, BF16 = Precision(dtype="fp32"), Precision(dtype="bf16")

# Nemotron-4: LayerNorm1P, squared ReLU, grouped queries, half of the channels rotated, no biases, untied.
NEMOTRON = ModelSpec(
    num_layers=2,
    hidden_size=64,
    ffn_hidden_size=128,
    num_attention_heads=4,
    num_query_groups=2,
    vocab_size=96,
    seq_length=48,
    activation="squared_relu",
    normalization="layernorm1p",
    norm_epsilon=1e-5,
    rotary_percent=0.5,
    rotary_base=10_000,
    linear_bias=False,
    tie_embeddings=False,
    init_std=0.05,
)
LLAMA = NEMOTRON.model_copy(
    update={"activation": "swiglu", "normalization": "rmsnorm", "rotary_percent": 1.0, "tie_embeddings": True}
)
BIASED = NEMOTRON.model_copy(
    update={"activation": "gelu", "normalization": "layernorm", "linear_bias": True, "num_query_groups": 4}
)
SPECS = {"nemotron": NEMOTRON, "llama": LLAMA, "biased": BIASED}

ADAM = Optimizer(beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1, clip_grad=1.0)


def make(
    spec: ModelSpec = NEMOTRON,
    precision: Precision = FP32,
    *,
    seed: int = 3,
    head: Regression | None = None,
    layout: Layout | None = None,
    options: Options = NO_OPTIONS,
) -> Model:
    return build(spec, layout or Layout(), precision, seed=seed, head=head, options=options)


def perturb(model: Model) -> Model:
    """Away from the initial values, where norms and biases would hide mistakes."""
    generator = torch.Generator().manual_seed(11)
    for chunk in model.chunks:
        for parameter in chunk.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data += (0.1 * noise).to(parameter.dtype)
    return model


def weights(model: Model) -> dict[str, Tensor]:
    return {name: parameter.data for chunk in model.chunks for name, parameter in chunk.named_parameters()}


def same_weights(one: Model, other: Model) -> bool:
    ours, theirs = weights(one), weights(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def token_rows(step: int, *, num_rows: int = 8, length: int = 12, spec: ModelSpec = NEMOTRON) -> tuple[Tensor, Tensor]:
    """Tokens [B, L + 1] and a mask of labels [B, L] that leaves out a different number in each row."""
    generator = torch.Generator().manual_seed(100 + step)
    tokens = torch.randint(0, spec.vocab_size, (num_rows, length + 1), generator=generator)
    mask = torch.ones(num_rows, length)
    for row in range(num_rows):
        mask[row, length - row % 5 :] = 0
    return tokens, mask


def batches(step: int, *, size: int = 8, rank: int = 0, ranks: int = 1) -> list[Batch]:
    """The same eight rows, in micro-batches of `size`, of one data-parallel rank."""
    tokens, mask = token_rows(step)
    tokens, mask = tokens[rank::ranks], mask[rank::ranks]
    return [
        Batch(
            tokens_BL=tokens[begin : begin + size, :-1].contiguous(),
            labels_BL=tokens[begin : begin + size, 1:].contiguous(),
            loss_mask_BL=mask[begin : begin + size],
        )
        for begin in range(0, len(tokens), size)
    ]


def packed_batches(step: int, *, size: int, rank: int = 0, ranks: int = 1) -> list[Batch]:
    """What `batches` gives, each micro-batch as one row without padding; ranks have different numbers of tokens."""
    tokens, mask = token_rows(step)
    rows = [row[: 1 + int(counts.sum())].tolist() for row, counts in zip(tokens, mask, strict=True)][rank::ranks]
    return [pack(rows[begin : begin + size]) for begin in range(0, len(rows), size)]


def poisoned(logprobs_BL: Tensor, batch: Batch) -> LossOutput:
    """`next_token`, times what the batch says: a way to spoil a step."""
    loss = next_token(logprobs_BL, batch)
    factor = batch.extra["factor"].mean() if "factor" in batch.extra else 1.0
    return replace(loss, loss_sum=loss.loss_sum * factor)


def spoilt(batch: Batch, factor: float) -> Batch:
    """The same batch, whose loss and gradient are multiplied."""
    return replace(batch, extra={**batch.extra, "factor": torch.full((len(batch.tokens_BL),), factor)})


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def environment() -> dict[str, str]:
    """Of a process that a test starts: it finds these files and the repository, and keeps to one core."""
    here = Path(__file__).parent
    return {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parents[2]}", "OMP_NUM_THREADS": "1"}

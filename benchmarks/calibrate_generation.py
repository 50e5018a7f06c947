"""Fits the constants of written tokens on published throughputs, and prints how well they do on models kept aside.

    python -P benchmarks/calibrate_generation.py

The rows are the static batches of NVIDIA/TensorRT-LLM's docs/source/performance.md at v0.5 and v0.6.1: FP8 weights and
caches on H100, FP16 on A100, throughputs of all GPUs together. Its kernels of that time read a key once for each query
head, shared or not. Its host code is compiled, so the host's constant is not of this fit. Needs scipy.
"""

import csv
from collections.abc import Sequence
from io import StringIO
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from compiler.planning.generation import DECODE, Answering, DecodeConstants, answering_time
from compiler.planning.hardware import GPUS
from compiler.schema.model import Layout, ModelSpec

PUBLISHED = """\
release,model,gpu,rows,tp,prompt,new,tokens_per_s
0.5,gptj-6b,H100,64,1,128,128,10907
0.5,gptj-6b,H100,64,1,128,2048,6179
0.5,gptj-6b,H100,64,1,2048,128,2229
0.5,gptj-6b,H100,64,1,2048,2048,2980
0.5,llama-7b,H100,64,1,128,128,9193
0.5,llama-7b,H100,64,1,128,2048,5367
0.5,llama-7b,H100,64,1,2048,128,2058
0.5,llama-7b,H100,32,1,2048,2048,2230
0.5,llama-70b,H100,64,4,128,128,3317
0.5,llama-70b,H100,64,4,128,2048,2616
0.5,llama-70b,H100,64,4,2048,128,843
0.5,llama-70b,H100,64,4,2048,2048,1583
0.5,falcon-180b,H100,96,8,128,128,2686
0.5,falcon-180b,H100,96,8,128,2048,2073
0.5,falcon-180b,H100,64,8,2048,128,465
0.5,gptj-6b,A100,64,1,128,128,3679
0.5,gptj-6b,A100,32,1,128,2048,1558
0.5,gptj-6b,A100,32,1,2048,128,526
0.5,gptj-6b,A100,16,1,2048,2048,650
0.5,llama-7b,A100,64,1,128,128,3486
0.5,llama-7b,A100,32,1,128,2048,1459
0.5,llama-7b,A100,32,1,2048,128,529
0.5,llama-7b,A100,16,1,2048,2048,592
0.6.1,gptj-6b,H100,1024,1,128,128,26150
0.6.1,gptj-6b,H100,120,1,128,2048,8011
0.6.1,gptj-6b,H100,64,1,2048,128,2551
0.6.1,gptj-6b,H100,64,1,2048,2048,3327
0.6.1,llama-7b,H100,768,1,128,128,19694
0.6.1,llama-7b,H100,112,1,128,2048,6818
0.6.1,llama-7b,H100,80,1,2048,128,2244
0.6.1,llama-7b,H100,48,1,2048,2048,2740
0.6.1,llama-70b,H100,1024,2,128,128,5314
0.6.1,llama-70b,H100,480,4,128,2048,5944
0.6.1,llama-70b,H100,96,2,2048,128,612
0.6.1,llama-70b,H100,64,2,2048,2048,1094
0.6.1,falcon-180b,H100,1024,4,128,128,3948
0.6.1,falcon-180b,H100,1024,8,128,2048,5792
0.6.1,falcon-180b,H100,64,4,2048,128,448
0.6.1,falcon-180b,H100,64,4,2048,2048,1056
0.6.1,gptj-6b,A100,512,1,128,128,6374
0.6.1,gptj-6b,A100,60,1,2048,128,670
0.6.1,llama-7b,A100,384,1,128,128,5586
0.6.1,llama-7b,A100,60,1,128,2048,1928
0.6.1,llama-7b,A100,52,1,2048,128,591
"""
SHAPES = {
    # layers, hidden, inside the MLP, heads, groups, vocabulary, whether the MLP has a gate
    "gptj-6b": (28, 4096, 16384, 16, 16, 50400, False),
    "llama-7b": (32, 4096, 11008, 32, 32, 32000, True),
    "llama-70b": (80, 8192, 28672, 64, 8, 32000, True),
    "falcon-180b": (80, 14848, 59392, 232, 8, 65024, False),
}
FITTED = ("bandwidth", "compute", "all_reduce_s", "layer_s")
START = np.log([0.6, 0.5, 15e-6, 30e-6])
PULL = 0.05


class Row(NamedTuple):
    model: str
    asked: Answering
    seconds: float
    """Published, of the whole batch."""
    name: str


def read(text: str = PUBLISHED) -> list[Row]:
    return [_row(row) for row in csv.DictReader(StringIO(text))]


def _row(row: dict[str, str]) -> Row:
    rows, new, fp8 = int(row["rows"]), int(row["new"]), row["gpu"] == "H100"
    model = shape(row["model"])
    asked = Answering(
        model,
        Layout(tp=int(row["tp"])),
        GPUS[row["gpu"]],
        requests=rows,
        rows=rows,
        prompt_tokens=int(row["prompt"]),
        new_tokens=new,
        longest=new,
        dtype_bytes=1 if fp8 else 2,
        fp8=fp8,
        cache_reads=model.num_attention_heads / model.num_query_groups,
    )
    return Row(row["model"], asked, rows * new / float(row["tokens_per_s"]), " ".join(row.values()))


def shape(name: str) -> ModelSpec:
    layers, hidden, ffn, heads, groups, vocab, gated = SHAPES[name]
    return ModelSpec(
        num_layers=layers, hidden_size=hidden, ffn_hidden_size=ffn, num_attention_heads=heads, num_query_groups=groups,
        vocab_size=vocab, seq_length=4096, activation="swiglu" if gated else "gelu", normalization="rmsnorm",
        norm_epsilon=1e-5, rotary_percent=1.0, rotary_base=10_000, linear_bias=False, tie_embeddings=False,
        init_std=0.02,
    )  # fmt: skip


def errors(rows: Sequence[Row], constants: DecodeConstants) -> np.ndarray:
    """log(planned / published) of each row."""
    return np.array([np.log(answering_time(row.asked, constants).seconds / row.seconds) for row in rows])


def fit(rows: Sequence[Row]) -> DecodeConstants:
    def residuals(point: np.ndarray) -> np.ndarray:
        # A weak pull towards the start, for what few rows speak of.
        return np.concatenate([errors(rows, unpack(point)), PULL * (point - START)])

    return unpack(least_squares(residuals, START, loss="soft_l1", f_scale=0.1).x)


def unpack(point: np.ndarray) -> DecodeConstants:
    return DecodeConstants(**dict(zip(FITTED, map(float, np.exp(point)), strict=True)), host_layer_s=0.0)


def quantiles(found: np.ndarray) -> str:
    sizes = np.abs(np.expm1(found))
    return f"median error {np.median(sizes):5.1%}   p90 {np.quantile(sizes, 0.9):5.1%}   most {sizes.max():5.1%}"


def main() -> None:
    rows = read()
    shipped = unpack(np.log([getattr(DECODE, name) for name in FITTED]))
    print(f"{len(rows)} rows\nshipped constants           {quantiles(errors(rows, shipped))}")
    for model in SHAPES:
        train = [row for row in rows if row.model != model]
        test = [row for row in rows if row.model == model]
        print(f"{model:12} kept aside      {quantiles(errors(test, fit(train)))}")
    found = fit(rows)
    print(f"\nfitted on all rows: {found}")
    for row, error in zip(rows, errors(rows, found), strict=True):
        print(f"{np.expm1(error):+7.1%} {row.name}")


if __name__ == "__main__":
    main()

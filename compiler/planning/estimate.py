"""Training runs as rows of a table, and what the planner's model says of each: for calibration and what-if tables."""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from compiler.planning.hardware import known_gpu
from compiler.planning.memory import training_memory
from compiler.planning.parameters import FLOPS_FORMULA
from compiler.planning.throughput import Run, step_time
from compiler.schema.model import Layout, ModelSpec

COLUMNS = (
    "layers", "hidden", "ffn", "heads", "kv_heads", "head_dim", "vocab", "gated_mlp", "tied_embeddings",
    "seq", "gbs", "mbs", "tp", "pp", "vpp", "cp", "gpus", "gpu",
)  # fmt: skip
"""That a row must have. Besides: `dp` (else gpus / (tp pp cp)), `precision` (BF16, FP8), `recompute` (none, selective,
full), `sharding` (holding `distopt` for the distributed optimizer), `release` (with the software's year and month in
it, 24.07 or 2024-07; today's where there is none). Others are handed through as `id` is."""


class RowError(ValueError):
    """A row that says too little or something impossible."""


def read_table(file: Path) -> Iterator[dict[str, str]]:
    """Each row by its columns; raises OSError, RowError where columns are missing."""
    with file.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise RowError(f"the table has no column {', '.join(missing)}")
        yield from reader


def run_of(row: Mapping[str, str]) -> Run:
    """The training step of a row; raises RowError."""
    number = {name: _number(name, row) for name in COLUMNS if name != "gpu"}
    gpu = known_gpu(row["gpu"])
    if gpu is None:
        raise RowError(f"no GPU is known as {row['gpu']!r}")
    gated = number["gated_mlp"] == 1
    model = ModelSpec(
        num_layers=number["layers"], hidden_size=number["hidden"], ffn_hidden_size=number["ffn"],
        num_attention_heads=number["heads"], num_query_groups=number["kv_heads"], kv_channels=number["head_dim"],
        vocab_size=number["vocab"], seq_length=number["seq"], activation="swiglu" if gated else "gelu",
        normalization="rmsnorm" if gated else "layernorm", norm_epsilon=1e-5, rotary_percent=1.0, rotary_base=10_000,
        linear_bias=not gated, tie_embeddings=number["tied_embeddings"] == 1, init_std=0.02,
    )  # fmt: skip
    ranks = number["tp"] * number["pp"] * number["cp"]
    if number["gpus"] % ranks:
        raise RowError(f"{number['gpus']} GPUs are not divided by tp * pp * cp = {ranks}")
    layout = Layout(
        tp=number["tp"], pp=number["pp"], vpp=number["vpp"], cp=number["cp"], dp=number["gpus"] // ranks
    )  # fmt: skip
    return Run(
        model, layout, gpu, number["seq"], number["gbs"], number["mbs"], fp8=row.get("precision", "").upper() == "FP8",
        recompute=_recompute(row.get("recompute") or "none"),
        distributed_optimizer="distopt" in row.get("sharding", "distopt"), sequence_parallel=layout.tp > 1,
        software=_year_and_month(row.get("release") or ""),
    )  # fmt: skip


def estimate(run: Run) -> dict[str, Any]:
    """Seconds of a step, model TFLOP/s of each GPU, share of the 16-bit peak, and bytes by part."""
    time, memory = step_time(run), training_memory(run)
    flops = run.model.training_flops(run.global_batch_size * run.seq_length, run.seq_length)
    per_gpu = flops / time.seconds / run.layout.world_size
    return {
        "step_time_s": time.seconds,
        "step_parts_s": time.parts,
        "tflops_per_gpu": per_gpu / 1e12,
        "mfu": per_gpu / run.gpu.peak_flops_16,
        "flops_formula": FLOPS_FORMULA,
        "memory_bytes": memory.total,
        "memory_parts": memory.parts,
    }


def _year_and_month(release: str) -> int | None:
    """`v25.04 llama3.1/README.md` -> 2504; None where no date stands."""
    found = re.search(r"\b(?:v|20)?(2[0-9])[.-](0[1-9]|1[0-2])\b", release)
    return int(found[1] + found[2]) if found else None


def _recompute(word: str) -> str:
    """Of `full(uniform)`, `selective(core_attn)` and the like."""
    if word.startswith("full"):
        return "full"
    return "selective" if word in ("selective", "selective(core_attn)") else "none"


def _number(name: str, row: Mapping[str, str]) -> int:
    try:
        return int(float(row[name]))
    except (ValueError, TypeError):
        raise RowError(f"{name} is {row[name]!r}, but must be a whole number") from None

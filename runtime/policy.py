"""Policies and reward models on disk: `model.json`, `weights/`, `tokenizer/`; opened and written through the engine."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from compiler.schema.model import Layout, ModelSpec, Precision
from runtime.engine.checkpoint import load_weights, save_weights
from runtime.engine.model import Model, Regression, build
from runtime.engine.parallel import Options
from runtime.store import read_record

SPEC = "model.json"
WEIGHTS = "weights"
TOKENIZER = "tokenizer"

_NO_OPTIONS = Options()


def read_model_spec(folder: Path) -> ModelSpec:
    """The shape of the model in this artifact."""
    return ModelSpec.model_validate_json((folder / SPEC).read_bytes())


def open_policy(
    folder: Path,
    layout: Layout,
    precision: Precision,
    *,
    head: Regression | None = None,
    options: Options = _NO_OPTIONS,
    to_train: bool = False,
) -> Model:
    """Builds the model of this artifact and loads its weights; with a head, the reward model's own.

    `to_train` keeps the float32 weights of the artifact beside a model in bf16, for training to go on from.
    """
    model = build(read_model_spec(folder), layout, precision, seed=0, head=head, options=options)
    load_weights(model, folder / WEIGHTS, to_train=to_train)
    return model


def answering_precision(folder: Path) -> Precision:
    """What the model of this artifact is asked in, here: see `answering_dtype`."""
    on_gpu = torch.cuda.is_available()
    has_bf16 = on_gpu or torch.cpu._is_avx512_bf16_supported()
    return Precision(dtype=answering_dtype(read_record(folder).stage, on_gpu=on_gpu, has_bf16=has_bf16))


def answering_dtype(stage: Mapping[str, Any], *, on_gpu: bool, has_bf16: bool) -> Literal["fp32", "bf16"]:
    """What the stage trained in; of what was adopted bf16 on a GPU, as plans count its memory, and fp32 on a CPU.

    `has_bf16`: products in bf16 are instructions of this machine; without them fp32 computes faster.
    """
    trained_in = (stage.get("precision") or {}).get("dtype", "bf16" if on_gpu else "fp32")
    return "bf16" if trained_in == "bf16" and has_bf16 else "fp32"


def write_policy(model: Model, folder: Path, *, tokenizer: Path, main: bool) -> None:
    """Writes the artifact's files. Called on every rank; `main` is true on the one that writes what is written once."""
    if main:
        (folder / SPEC).write_text(model.spec.model_dump_json(indent=1), encoding="utf-8")
        shutil.copytree(tokenizer, folder / TOKENIZER, ignore=shutil.ignore_patterns("artifact.json"))
    save_weights(model, folder / WEIGHTS)

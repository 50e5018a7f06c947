"""Policies and reward models on disk: `model.json`, `weights/`, `tokenizer/`; opened and written through the engine."""

import shutil
from pathlib import Path

from compiler.schema.model import Layout, ModelSpec, Precision
from runtime.engine.checkpoint import load_weights, save_weights
from runtime.engine.model import Model, Regression, build
from runtime.engine.parallel import Options

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


def write_policy(model: Model, folder: Path, *, tokenizer: Path, main: bool) -> None:
    """Writes the artifact's files. Called on every rank; `main` is true on the one that writes what is written once."""
    if main:
        (folder / SPEC).write_text(model.spec.model_dump_json(indent=1), encoding="utf-8")
        shutil.copytree(tokenizer, folder / TOKENIZER, ignore=shutil.ignore_patterns("artifact.json"))
    save_weights(model, folder / WEIGHTS)

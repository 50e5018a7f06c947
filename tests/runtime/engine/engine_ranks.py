"""One rank of a job that goes through several layouts: `python engine_ranks.py FOLDER RANK WORLD_SIZE`."""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from engine_cases import ADAM, FP32, LLAMA, NEMOTRON, batches, packed_batches
from torch import Tensor

from compiler.schema.model import Layout
from runtime.engine import parallel
from runtime.engine.batch import Batch
from runtime.engine.checkpoint import save_weights
from runtime.engine.generate import generate
from runtime.engine.loop import Checkpointing, train
from runtime.engine.model import Model, build
from runtime.engine.objective import LossOutput, next_token

NUM_STEPS = 4
SPECS = {
    "nemotron": NEMOTRON.model_copy(update={"num_layers": 4}),
    "llama": LLAMA.model_copy(update={"num_layers": 4}),
}
TWO = {
    "tp2": Layout(tp=2),
    "tp2-sequence": Layout(tp=2),
    "dp2": Layout(dp=2),
    "pp2": Layout(pp=2),
    "pp2-vpp2": Layout(pp=2, vpp=2),
}
FOUR = {"tp2-dp2": Layout(tp=2, dp=2), "tp2-pp2": Layout(tp=2, pp=2)}


def with_metric(logprobs: Tensor, batch: Batch) -> LossOutput:
    hits = ((logprobs.detach() > -4) * batch.loss_mask_BL).sum()
    return replace(next_token(logprobs, batch), metrics={"likely": hits})


def records(
    model: Model,
    *,
    ranks: int,
    rank: int,
    checkpoints: Path | None = None,
    num_steps: int = NUM_STEPS,
    packed: bool = False,
) -> list[dict[str, Any]]:
    """Four micro-batches of two rows on one rank, two on each of two."""
    found: list[dict[str, Any]] = []
    cut = packed_batches if packed else batches
    train(
        model,
        ADAM,
        num_steps=num_steps,
        learning_rate=lambda step: 1e-2,
        micro_batches=lambda step: cut(step, size=2, rank=rank, ranks=ranks),
        objective=with_metric,
        checkpointing=None if checkpoints is None else Checkpointing(checkpoints, every=2),
        on_step=lambda record: found.append(asdict(record)),
    )
    return found


def completions(model: Model) -> list[Any]:
    rows = [np.random.default_rng(row).integers(2, 96, 3 + row).tolist() for row in range(8)]
    found = generate(
        model,
        rows,
        max_new_tokens=8,
        end_id=1,
        temperature=1.0,
        top_p=0.9,
        uniforms=lambda row: np.random.default_rng(row).random(8),
        batch_size=4,
    )
    return [[one.index, list(one.token_ids), one.finished] for one in found]


def main(folder: Path, rank: int, world_size: int) -> None:
    torch.set_num_threads(1)
    for name, layout in (TWO if world_size == 2 else FOUR).items():
        rendezvous = folder / f"rendezvous-{name}"
        with parallel.start(layout, rank=rank, world_size=world_size, rendezvous=rendezvous, seed=1) as world:
            for kind, spec in SPECS.items():
                if world_size == 4 and kind == "llama":
                    continue
                model = build(spec, layout, FP32, seed=3, sequence_parallel=name == "tp2-sequence")
                save_weights(model, folder / f"{kind}-{name}-initial")
                if name == "tp2" and kind == "nemotron":
                    (folder / f"completions-{rank}.json").write_text(json.dumps(completions(model)))
                    half = build(spec, layout, FP32, seed=3)
                    records(half, ranks=1, rank=0, checkpoints=folder / "tp2-training", num_steps=2)
                found = records(model, ranks=layout.dp, rank=world.dp_rank)
                save_weights(model, folder / f"{kind}-{name}-final")
                (folder / f"{kind}-{name}-{rank}.json").write_text(json.dumps(found))
                if kind == "nemotron":
                    model = build(spec, layout, FP32, seed=3, sequence_parallel=name == "tp2-sequence")
                    found = records(model, ranks=layout.dp, rank=world.dp_rank, num_steps=2, packed=True)
                    (folder / f"packed-{name}-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

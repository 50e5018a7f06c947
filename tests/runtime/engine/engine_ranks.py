"""One of eight processes that go through all layouts: `python engine_ranks.py FOLDER PROCESS`.

Starting processes costs more than training in them, so each takes part in one layout after the other: four layouts of
two ranks at a time, two of three or four, one of eight.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from engine_cases import BF16, FP32, LLAMA, NEMOTRON
from torch import Tensor

from compiler.schema.losses import DPO
from compiler.schema.model import Layout, Precision
from compiler.schema.training import Optimizer
from runtime import losses
from runtime.engine import parallel
from runtime.engine.batch import Batch, collate, collate_whole, pack
from runtime.engine.checkpoint import save_weights
from runtime.engine.generate import generate
from runtime.engine.keeping import Checkpointing
from runtime.engine.logprobs import batch_logprobs, values
from runtime.engine.loop import train
from runtime.engine.model import Model, Regression, build
from runtime.engine.objective import LossOutput, Objective, next_token
from runtime.engine.parallel import Options
from runtime.losses.preference import PreferenceLogprobs

NUM_PROCESSES = 8
NUM_STEPS = 3
SPECS = {
    "nemotron": NEMOTRON.model_copy(update={"num_layers": 4}),
    "llama": LLAMA.model_copy(update={"num_layers": 4}),
    # Biases of queries, keys and values; norms of heads, which every rank holds and each rank's heads move.
    "qwen": LLAMA.model_copy(update={"num_layers": 4, "activation": "geglu", "qkv_bias": True, "qk_norm": True}),
}
# With an epsilon far above every gradient, Adam's update is the gradient times a constant: weights after some steps
# tell all gradients, element by element, where Adam's own updates are of one size whatever the gradient.
LINEAR = Optimizer(beta1=0.9, beta2=0.95, epsilon=1e3, weight_decay=0.0, clip_grad=1.0)
RATE = 200.0


@dataclass(frozen=True)
class Case:
    """One layout, and what is done in it."""

    layout: Layout
    options: Options = field(default_factory=Options)
    spec: str = "nemotron"
    precision: Precision = FP32
    tasks: tuple[str, ...] = ("next_token",)
    generates: bool = False


SEQUENCE, SHARDED, OVERLAP = (
    Options(sequence_parallel=True),
    Options(distributed_optimizer=True),
    Options(overlap=True),
)
ALL = Options(sequence_parallel=True, distributed_optimizer=True, overlap=True, recompute="full")
EVERY_TASK = ("next_token", "preference", "regression", "packed")
CASES = {
    "tp2": Case(Layout(tp=2), tasks=EVERY_TASK, generates=True),
    "tp2-sequence": Case(Layout(tp=2), SEQUENCE, tasks=("next_token", "regression", "packed")),
    "tp2-sequence-recompute": Case(Layout(tp=2), replace(SEQUENCE, recompute="full")),
    "tp2-sequence-llama": Case(Layout(tp=2), SEQUENCE, "llama"),
    "tp2-qwen": Case(Layout(tp=2), spec="qwen"),
    "tp2-sequence-qwen": Case(Layout(tp=2), SEQUENCE, "qwen"),
    "tp2-sequence-bf16": Case(Layout(tp=2), SEQUENCE, precision=BF16),
    "dp2": Case(Layout(dp=2), tasks=("next_token", "packed")),
    "dp2-overlap": Case(Layout(dp=2), OVERLAP),
    "dp2-sharded": Case(Layout(dp=2), SHARDED),
    "dp2-sharded-overlap": Case(Layout(dp=2), replace(SHARDED, overlap=True)),
    "dp2-sharded-bf16": Case(Layout(dp=2), SHARDED, precision=BF16),
    # Four micro-batches among three ranks: two, one and one.
    "dp3": Case(Layout(dp=3), replace(SHARDED, overlap=True), tasks=("next_token", "preference", "packed")),
    "cp2": Case(Layout(cp=2), tasks=EVERY_TASK),
    "cp2-recompute": Case(Layout(cp=2), Options(recompute="selective")),
    "pp2": Case(Layout(pp=2), tasks=EVERY_TASK, generates=True),
    "pp2-llama": Case(Layout(pp=2), spec="llama"),
    "pp2-vpp2": Case(Layout(pp=2, vpp=2), tasks=EVERY_TASK, generates=True),
    "pp2-vpp2-llama": Case(Layout(pp=2, vpp=2), spec="llama"),
    "tp2-dp2": Case(Layout(tp=2, dp=2), ALL),
    "tp2-pp2": Case(Layout(tp=2, pp=2), tasks=("next_token", "preference"), generates=True),
    "tp2-pp2-sequence": Case(Layout(tp=2, pp=2), replace(SEQUENCE, recompute="selective")),
    "tp2-cp2": Case(Layout(tp=2, cp=2), ALL, tasks=("preference", "packed")),
    "cp2-dp2": Case(Layout(cp=2, dp=2), OVERLAP),
    "pp2-dp2-llama": Case(Layout(pp=2, dp=2), replace(SHARDED, overlap=True), "llama"),
    "pp4": Case(Layout(pp=4)),
    "tp2-pp2-vpp2-dp2": Case(Layout(tp=2, pp=2, vpp=2, dp=2), ALL, tasks=("preference",)),
    "pp2-cp2-dp2": Case(Layout(pp=2, cp=2, dp=2), SHARDED, tasks=("regression",)),
}


def token_rows(step: int, *, num_rows: int = 8) -> list[list[int]]:
    """Rows of up to 12 tokens: no length that two ranks could divide without padding."""
    random = np.random.default_rng(100 + step)
    return [random.integers(2, 96, 12 - row % 4).tolist() for row in range(num_rows)]


def next_token_batches(step: int, rank: int, ranks: int) -> list[Batch]:
    """Four micro-batches of two rows on one rank, two on each of two; in every other step two documents in a row."""
    batches = [collate(rows, multiple=1) for rows in _micro_batches(token_rows(step), rank, ranks)]
    if step % 2:
        return batches
    documents = [(torch.arange(batch.tokens_BL.shape[1]) > 4).long().expand(2, -1) for batch in batches]
    return [replace(batch, documents_BL=own) for batch, own in zip(batches, documents, strict=True)]


def preference_batches(step: int, rank: int, ranks: int) -> list[Batch]:
    masks = [[0] * 5 + [1] * (len(row) - 5) for row in token_rows(step)]
    return [
        collate(rows, mask, multiple=1)
        for rows, mask in zip(
            _micro_batches(token_rows(step), rank, ranks), _micro_batches(masks, rank, ranks), strict=True
        )
    ]


def packed_batches(step: int, rank: int, ranks: int) -> list[Batch]:
    """Two rows in one, that begin with the same tokens; of a length that two ranks cannot divide without padding."""
    rows = [[5, 6, 7, *row] for row in token_rows(step)]
    masks = [[0] * 5 + [1] * (len(row) - 5) for row in rows]
    return [
        pack(some, mask, group=2, multiple=1)
        for some, mask in zip(_micro_batches(rows, rank, ranks), _micro_batches(masks, rank, ranks), strict=True)
    ]


def regression_batches(step: int, rank: int, ranks: int) -> list[Batch]:
    return [
        collate_whole(
            rows, multiple=1, extra={"targets": torch.tensor([[row[-1] / 96, len(row) / 12] for row in rows])}
        )
        for rows in _micro_batches(token_rows(step), rank, ranks)
    ]


def _micro_batches(rows: list[Any], rank: int, ranks: int) -> list[list[Any]]:
    pairs = [rows[first : first + 2] for first in range(0, len(rows), 2)]
    return pairs[rank::ranks]


def with_metric(logprobs: Tensor, batch: Batch) -> LossOutput:
    hits = ((logprobs.detach() > -4) * batch.loss_mask_BL).sum()
    return replace(next_token(logprobs, batch), metrics={"likely": hits})


def preference(logprobs_BL: Tensor, batch: Batch) -> LossOutput:
    policy_B = (logprobs_BL * batch.loss_mask_BL).sum(dim=1)
    reference_B = -4.0 * batch.loss_mask_BL.sum(dim=1)
    pairs = PreferenceLogprobs(
        chosen_B=policy_B[0::2],
        rejected_B=policy_B[1::2],
        reference_chosen_B=reference_B[0::2],
        reference_rejected_B=reference_B[1::2],
        chosen_reward_B=torch.ones(1),
        rejected_reward_B=torch.zeros(1),
        chosen_length_B=batch.loss_mask_BL.sum(dim=1)[0::2],
        rejected_length_B=batch.loss_mask_BL.sum(dim=1)[1::2],
    )
    spec = DPO(kind="dpo", beta=0.5, sft_weight=0.1, sft_average=True)
    return losses.find("dpo")(spec, pairs)


def regression(values_BK: Tensor, batch: Batch) -> LossOutput:
    return LossOutput(((values_BK - batch.extra["targets"]) ** 2).sum(), weight=float(len(values_BK)))


TASKS: dict[str, tuple[Objective, Callable[[int, int, int], list[Batch]]]] = {
    "next_token": (with_metric, next_token_batches),
    "preference": (preference, preference_batches),
    "packed": (with_metric, packed_batches),
    "regression": (regression, regression_batches),
}


def model_of(case: Case, task: str) -> Model:
    head = Regression(2) if task == "regression" else None
    return build(SPECS[case.spec], case.layout, case.precision, seed=3, head=head, options=case.options)


def records(
    model: Model,
    task: str = "next_token",
    *,
    ranks: int = 1,
    rank: int = 0,
    checkpoints: Path | None = None,
    num_steps: int = NUM_STEPS,
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    objective, batches = TASKS[task]
    train(
        model,
        LINEAR,
        num_steps=num_steps,
        learning_rate=lambda step: RATE,
        micro_batches=lambda step: batches(step, rank, ranks),
        objective=objective,
        checkpointing=None if checkpoints is None else Checkpointing(checkpoints, every=2),
        on_step=lambda record: found.append(asdict(record)),
    )
    return found


def said(model: Model, task: str) -> list[list[float]]:
    """Of a batch, without training: log-probabilities [B, L] or values [B, K]."""
    batches = TASKS[task][1](5, 0, 1)
    ask = values if task == "regression" else batch_logprobs
    return [row for batch in batches for row in ask(model, batch).tolist()]


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


def rounds() -> list[list[str]]:
    """Which cases run beside each other."""
    by_size: dict[int, list[str]] = {}
    for name, case in CASES.items():
        by_size.setdefault(case.layout.world_size, []).append(name)
    return [
        names[first : first + NUM_PROCESSES // size]
        for size, names in by_size.items()
        for first in range(0, len(names), NUM_PROCESSES // size)
    ]


def run(folder: Path, name: str, rank: int) -> None:
    case = CASES[name]
    size = case.layout.world_size
    found: dict[str, Any] = {}
    rendezvous = folder / f"rendezvous-{name}"
    with parallel.start(case.layout, rank=rank, world_size=size, rendezvous=rendezvous, seed=1) as world:
        for task in case.tasks:
            model = model_of(case, task)
            found[f"{task}-said"] = said(model, task)
            if task == "next_token" and case.generates:
                found["completions"] = completions(model)
            found[task] = records(model, task, ranks=case.layout.dp, rank=world.dp_rank)
            save_weights(model, folder / f"{name}-{task}")
        if name in RESUMED:
            records(
                model_of(case, "next_token"),
                ranks=case.layout.dp,
                rank=world.dp_rank,
                checkpoints=folder / f"{name}-training",
                num_steps=2,
            )
    (folder / f"{name}-{rank}.json").write_text(json.dumps(found))


RESUMED = ("tp2", "dp2-sharded", "tp2-dp2", "dp2-sharded-bf16")
"""Stop after two steps, and are gone on with in one process."""


def main(folder: Path, process: int) -> None:
    torch.set_num_threads(1)
    for names in rounds():
        size = CASES[names[0]].layout.world_size
        if process // size < len(names):
            run(folder, names[process // size], process % size)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

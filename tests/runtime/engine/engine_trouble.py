"""One of two processes whose steps go wrong on one rank alone: `python engine_trouble.py FOLDER RANK`."""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from engine_cases import NO_OPTIONS, batches, make, poisoned, spoilt
from engine_ranks import LINEAR, RATE
from torch import Tensor

from compiler.schema.model import Layout
from compiler.schema.training import Trouble
from runtime.engine import parallel
from runtime.engine.batch import Batch
from runtime.engine.checkpoint import save_weights
from runtime.engine.keeping import Checkpointing
from runtime.engine.loop import Care, StepRecord, train
from runtime.engine.model import Model
from runtime.engine.objective import LossOutput
from runtime.engine.parallel import Options
from runtime.engine.trouble import TrainingDivergedError

NUM_STEPS, BAD_STEP = 6, 3


@dataclass(frozen=True)
class Case:
    """A layout of two ranks and what is asked for where a step goes wrong."""

    layout: Layout
    policy: Trouble
    options: Options = NO_OPTIONS
    background: bool = False


CASES = {
    "dp2-skip": Case(Layout(dp=2), Trouble(not_a_number="skip", most=1)),
    "dp2-rewind": Case(
        Layout(dp=2), Trouble(not_a_number="rewind", most=2), Options(distributed_optimizer=True, overlap=True), True
    ),
    "dp2-stop": Case(Layout(dp=2), Trouble(not_a_number="stop", most=1)),
    "pp2-skip": Case(Layout(pp=2), Trouble(not_a_number="skip", most=1)),
    "pp2-rewind": Case(Layout(pp=2), Trouble(not_a_number="rewind", most=2), background=True),
}


def in_the_gradient(logprobs: Tensor, batch: Batch) -> LossOutput:
    """A loss that is a number, and whose gradient is none."""
    loss = poisoned(logprobs, replace(batch, extra={}))
    root = (logprobs[0, 0] * 0).sqrt() if "factor" in batch.extra else 0.0
    return replace(loss, loss_sum=loss.loss_sum + root)


def learn(
    model: Model,
    case: Case,
    steps: Sequence[int],
    folder: Path | None,
    *,
    rank: int = 0,
    spoils: bool = False,
) -> list[StepRecord]:
    """Trains on the batches of these steps; on a rank that `spoils` one of them has no gradient."""
    records: dict[int, StepRecord] = {}

    def micro_batches(step: int) -> list[Batch]:
        mine = batches(steps[step], size=2, rank=rank, ranks=case.layout.dp)
        bad = spoils and steps[step] == BAD_STEP
        return [spoilt(batch, math.nan) if bad and number == 1 else batch for number, batch in enumerate(mine)]

    train(
        model,
        LINEAR,
        num_steps=len(steps),
        learning_rate=lambda step: RATE * (steps[step] + 1),
        micro_batches=micro_batches,
        objective=in_the_gradient,
        checkpointing=Checkpointing(folder, every=2, background=case.background) if folder else None,
        care=Care(case.policy),
        on_step=lambda record: records.update({record.step: record}),
    )
    return [records[step] for step in sorted(records)]


def run(folder: Path, name: str, rank: int) -> None:
    case = CASES[name]
    rendezvous = folder / f"rendezvous-{name}"
    with parallel.start(case.layout, rank=rank, world_size=2, rendezvous=rendezvous, seed=1) as world:
        model = make(layout=case.layout, options=case.options)
        # Of a pipeline both ranks see the batch, and only the last knows the loss.
        spoils = rank == 1
        try:
            records = learn(
                model, case, range(NUM_STEPS), folder / f"{name}-training", rank=world.dp_rank, spoils=spoils
            )
            found = {"lost": [record.metrics["lost"] for record in records]}
            save_weights(model, folder / name)
        except TrainingDivergedError as error:
            found = {"error": str(error)}
    (folder / f"{name}-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in CASES:
        run(Path(sys.argv[1]), name, int(sys.argv[2]))

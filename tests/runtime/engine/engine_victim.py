"""A training run in a process of its own, slow enough to be killed: `python engine_victim.py FOLDER [background]`.

With `background` checkpoints are written while training goes on, to a disk that takes a second for each file.
"""

import os
import sys
import threading
import time
from pathlib import Path

import torch
from engine_cases import ADAM, batches, make

from compiler.schema.model import Layout
from runtime.engine import parallel
from runtime.engine.batch import Batch
from runtime.engine.keeping import Checkpointing
from runtime.engine.loop import StepRecord, train
from runtime.engine.objective import next_token

NUM_STEPS = 40


def slow(step: int) -> list[Batch]:
    time.sleep(0.05)
    return batches(step)


def slow_disk() -> None:
    """The time that a file takes, of a store far away; not of what the main thread does."""
    fsync = os.fsync

    def later(descriptor: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            time.sleep(1.0)
        fsync(descriptor)

    os.fsync = later


def run(folder: Path, background: bool) -> None:
    told = folder / "steps"

    def tell(record: StepRecord) -> None:
        told.write_text(str(record.step))

    with parallel.start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1):
        train(
            make(),
            ADAM,
            num_steps=NUM_STEPS,
            learning_rate=lambda step: 1e-3 * (step + 1),
            micro_batches=slow,
            objective=next_token,
            checkpointing=Checkpointing(folder / "training", every=3, background=background),
            on_step=tell,
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    slow_disk()
    run(Path(sys.argv[1]), background="background" in sys.argv)

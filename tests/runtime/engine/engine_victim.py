"""A training run in a process of its own, slow enough to be killed: `python engine_victim.py FOLDER`."""

import sys
import time
from pathlib import Path

import torch
from engine_cases import ADAM, batches, make

from compiler.schema.model import Layout
from runtime.engine import parallel
from runtime.engine.batch import Batch
from runtime.engine.loop import Checkpointing, train
from runtime.engine.objective import next_token


def slow(step: int) -> list[Batch]:
    time.sleep(0.05)
    return batches(step)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with parallel.start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1):
        train(
            make(),
            ADAM,
            num_steps=40,
            learning_rate=lambda step: 1e-3 * (step + 1),
            micro_batches=slow,
            objective=next_token,
            checkpointing=Checkpointing(Path(sys.argv[1]) / "training", every=3),
        )

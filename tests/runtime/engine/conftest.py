"""One gloo group for all single-process tests, and small models."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # plain_torch.py and ranks.py, which are no tests

from compiler.schema.model import Layout
from runtime.engine import parallel


@pytest.fixture(scope="session", autouse=True)
def world() -> Iterator[parallel.World]:
    torch.set_num_threads(1)
    with parallel.start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1) as world:
        yield world

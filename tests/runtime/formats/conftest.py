"""One gloo group for a file's tests, and small models of the classes of transformers. `checkpoints.py` is no test."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module", autouse=True)
def world() -> Iterator[object]:
    import torch

    from compiler.schema.model import Layout
    from runtime.engine import parallel

    torch.set_num_threads(1)
    with parallel.start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1) as world:
        yield world

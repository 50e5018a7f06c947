"""One Slurm cluster for all of these tests, or a reason why there is none."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cases import half, rung, training
from .loopback import Loopback, missing


@pytest.fixture(scope="session")
def slurm() -> Iterator[Loopback]:
    """The cluster, with SLURM_CONF in the environment; skips where Slurm cannot be had."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    # Unix sockets lie in it, so its path must be short.
    with Loopback(Path(tempfile.mkdtemp(prefix="rung-"))) as cluster:
        os.environ.update(cluster.environment)
        yield cluster
        for name in cluster.environment:
            os.environ.pop(name, None)


@pytest.fixture(scope="session")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a run of the half recipe that nothing disturbed."""
    store = tmp_path_factory.mktemp("quiet")
    rung("run", half(store), "--store", store, "--json")
    return store


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a longer training that nothing disturbed."""
    store = tmp_path_factory.mktemp("trained")
    rung("run", training(store), "--store", store, "--json")
    return store

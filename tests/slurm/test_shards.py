"""A stage of several shards is a job array; its shares together are, byte for byte, what one job makes."""

import json
import shutil
from pathlib import Path

import pytest

from .cases import half, hashes, states, submit, until_ended
from .loopback import Loopback

pytestmark = pytest.mark.slow

_SHARDS = {"more_tokens": 3, "more_responses": 3, "more_truths": 2, "more_rewards": 2}


def test_shares_of_arrays_make_the_bytes_of_one_job(slurm: Loopback, quiet: Path, tmp_path: Path) -> None:
    """Of each kind of stage that can be divided: an array of jobs on Slurm against one process here."""
    store = tmp_path / "store"
    shutil.copytree(quiet / "store", store / "store")
    for record in (store / "store").glob("*/*/artifact.json"):
        if json.loads(record.read_text())["label"] in _SHARDS:
            shutil.rmtree(record.parent)
    submitted = submit(half(tmp_path, divided=True), store)
    assert set(submitted["submitted"]) == set(_SHARDS)
    told = until_ended(submitted["run"], store)
    assert set(states(told).values()) == {"done", "reused"}, json.dumps(told, indent=1)
    for label, count in _SHARDS.items():
        array = submitted["submitted"][label]
        elements = slurm.run("sacct", "-n", "-X", "-P", "-j", array, "-o", "JobID").split()
        assert sorted(elements) == [f"{array}_{number}" for number in range(count)]
    assert hashes(store) == hashes(quiet)

"""A stage of several shards is a job array; its shares together are, byte for byte, what one job makes."""

import json
import shutil
from collections.abc import Collection
from pathlib import Path

import pytest

from .cases import half, hashes, message, rung, states, submit, until_ended
from .loopback import Loopback

pytestmark = pytest.mark.slow

_SHARDS = {"more_tokens": 3, "more_responses": 3, "more_truths": 2, "more_rewards": 2}


def test_shares_of_arrays_make_the_bytes_of_one_job(slurm: Loopback, quiet: Path, tmp_path: Path) -> None:
    """Of each kind of stage that can be divided: an array of jobs on Slurm against one process here."""
    store = _without(quiet, tmp_path / "store", _SHARDS)
    submitted = submit(half(tmp_path, divided=True), store)
    assert set(submitted["submitted"]) == set(_SHARDS)
    told = until_ended(submitted["run"], store)
    assert set(states(told).values()) == {"done", "reused"}, json.dumps(told, indent=1)
    for label, count in _SHARDS.items():
        array = submitted["submitted"][label]
        elements = slurm.run("sacct", "-n", "-X", "-P", "-j", array, "-o", "JobID").split()
        assert sorted(elements) == [f"{array}_{number}" for number in range(count)]
    assert hashes(store) == hashes(quiet)


def test_a_shard_that_was_cancelled_alone_is_missed_and_made_up_for(
    slurm: Loopback, quiet: Path, tmp_path: Path
) -> None:
    """Of an array's element that waits and is cancelled, Slurm keeps no trace."""
    store = _without(quiet, tmp_path / "store", ["more_truths"])
    slurm.run("scontrol", "update", "partitionname=main", "state=down")
    try:
        submitted = submit(half(tmp_path, divided=True), store)
        run = submitted["run"]
        slurm.run("scancel", f"{submitted['submitted']['more_truths']}_1")
    finally:
        slurm.run("scontrol", "update", "partitionname=main", "state=up")
    told = until_ended(run, store)
    assert states(told)["more_truths"] == "failed"
    assert "nothing is sealed" in message(told, "more_truths")
    assert list(rung("resume", run, "--store", store, "--json")["submitted"]) == ["more_truths"]
    assert until_ended(run, store)["state"] == "done"
    assert hashes(store) == hashes(quiet)


def _without(quiet: Path, store: Path, labels: Collection[str]) -> Path:
    """A store that holds what the quiet one does, but for these stages."""
    shutil.copytree(quiet / "store", store / "store")
    for record in (store / "store").glob("*/*/artifact.json"):
        if json.loads(record.read_text())["label"] in labels:
            shutil.rmtree(record.parent)
    return store

"""Data-parallel ranks that grow with the batch: a chain of jobs of two sizes, disturbed and gone on with."""

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from compiler.journal import read_events
from compiler.legs import checkpoint_folder, checkpoint_name

from .cases import ROOT, hashes, message, rung, status, submit, until, until_ended
from .loopback import Loopback

pytestmark = pytest.mark.slow

LEG = 500
"""Steps of one rank; two ranks make as many again of the double batch."""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe with legs long enough to be disturbed."""
    text = (ROOT / "tests" / "recipes" / "ramp.yaml").read_text(encoding="utf-8")
    spec = tmp_path_factory.mktemp("spec") / "ramp.yaml"
    spec.write_text(text.replace("tokens: 16k", "tokens: 32k"), encoding="utf-8")
    return spec


@pytest.fixture(scope="module")
def prepared(spec: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with all that the training needs."""
    folder = tmp_path_factory.mktemp("prepared")
    data = folder / "data.yaml"
    data.write_text(spec.read_text(encoding="utf-8").partition("  base:\n")[0], encoding="utf-8")
    rung("run", data, "--store", folder / "store", "--json")
    shutil.rmtree(folder / "store" / "runs")
    return folder / "store"


@pytest.fixture
def store(prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared, tmp_path / "store")
    return tmp_path / "store"


def test_a_chain_of_two_sizes_that_is_preempted_and_killed_ends_with_the_bytes_of_an_undisturbed_run(
    slurm: Loopback, spec: Path, store: Path, prepared: Path, tmp_path: Path
) -> None:
    run = submit(spec, store)["run"]
    names = {job_id: name for name, job_id in _queue(slurm, run).items()}
    assert sorted(names.values()) == [f"base@{run}", f"base@{run}#2"]
    ids = sorted(names, key=names.__getitem__)
    for job_id, script in zip(ids, ("base.sh", "base.2.sh"), strict=True):
        received = slurm.run("scontrol", "write", "batch_script", job_id, "-")
        assert received.rstrip("\n") == (store / "runs" / run / "jobs" / script).read_text().rstrip("\n")
    _until_done(store, run, 40)
    # What a preemption sends: the job is queued again at its own size, and the next one goes on waiting.
    _strike(store, run, signal.SIGUSR2)
    _until_done(store, run, 40, starts=2)
    assert _sizes(store, run) == [1, 1]
    # Killed, it leaves steps that the next job has not the ranks for.
    _strike(store, run, signal.SIGKILL)
    told = until(run, store, lambda told: told["state"] == "failed")
    assert _sizes(store, run) == [1, 1, 2]
    assert "goes on with 1 rank: `rung resume`" in message(told, "base")
    again = rung("resume", run, "--store", store, "--json")["submitted"]
    assert again["base"] != ids[1]
    told = until_ended(run, store)
    assert told["state"] == "done", json.dumps(told, indent=1)
    assert _sizes(store, run) == [1, 1, 2, 1, 2]
    quiet = tmp_path / "quiet"
    shutil.copytree(prepared, quiet)
    rung("run", spec, "--store", quiet, "--json")
    assert hashes(store) == hashes(quiet)


def test_what_is_submitted_begins_with_the_size_that_the_next_step_needs(
    slurm: Loopback, spec: Path, store: Path
) -> None:
    planned = rung("plan", spec, "--store", store, "--json")["stages"]
    fingerprint = next(stage["fingerprint"] for stage in planned if stage["name"] == "base")
    scratch = store / "scratch" / fingerprint
    (checkpoint_folder(scratch) / checkpoint_name(LEG)).mkdir(parents=True)
    slurm.run("scontrol", "update", "partitionname=main", "state=down")
    try:
        run = submit(spec, store)["run"]
        assert list(_queue(slurm, run)) == [f"base@{run}"]
        (job_id,) = _queue(slurm, run).values()
        assert slurm.run("squeue", "-h", "-j", job_id, "-o", "%C").strip() == "2"
        # Whatever becomes of the stage meanwhile, a chain that was begun is completed as it was.
        shutil.rmtree(scratch)
        assert submit(spec, store)["submitted"] == {}
        assert status(run, store)["state"] == "running"
        rung("cancel", run, "--store", store, "--json")
    finally:
        slurm.run("scontrol", "update", "partitionname=main", "state=up")


def _queue(slurm: Loopback, run: str) -> dict[str, str]:
    """Name -> id of the run's jobs that wait or run."""
    lines = slurm.run("squeue", "--me", "-h", "-o", "%j %i").splitlines()
    return {name: job_id for name, job_id in (line.split() for line in lines) if f"@{run}" in name}


def _events(store: Path, run: str) -> list[dict[str, Any]]:
    return list(read_events(store / "runs" / run / "journal" / "base.jsonl"))


def _sizes(store: Path, run: str) -> list[int]:
    return [event["world_size"] for event in _events(store, run) if event["event"] == "started"]


def _strike(store: Path, run: str, what: signal.Signals) -> None:
    """At the first rank, directly: on a busy machine Slurm takes longer to send a signal than the leg to end."""
    os.kill([event["pid"] for event in _events(store, run) if event["event"] == "started"][-1], what)


def _until_done(store: Path, run: str, steps: int, starts: int = 1) -> None:
    """Until the job, once it has been started so often, has made more than so many steps."""
    end = time.monotonic() + 120
    while True:
        told = _events(store, run)
        done = told[-1].get("done", 0) if told else 0
        if len(_sizes(store, run)) >= starts and done > steps:
            assert done < LEG, "it was too quick for this test"
            return
        assert time.monotonic() < end, told
        time.sleep(0.05)

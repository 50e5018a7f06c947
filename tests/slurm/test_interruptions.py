"""Preemption, time limits, dying nodes, kills: a stage ends with the bytes of an undisturbed one."""

import json
from pathlib import Path

import pytest

from .cases import LOOPBACK, chains, hashes, rung, submit, training, until, until_ended
from .loopback import Loopback

pytestmark = pytest.mark.slow


def test_a_stage_that_is_preempted_and_one_whose_node_dies_end_with_the_bytes_of_an_undisturbed_run(
    slurm: Loopback, tmp_path: Path
) -> None:
    spec, store = training(tmp_path), tmp_path / "store"
    undisturbed = tmp_path / "undisturbed"
    rung("run", spec, "--store", undisturbed, "--json")
    run = submit(spec, store)["run"]
    base = _until_it_trains(run, store, starts=1)
    # What a preemption and a time limit send.
    slurm.run("scancel", "--signal=USR2", base)
    base = _until_it_trains(run, store, starts=2)
    node = slurm.run("squeue", "-h", "-j", base, "-o", "%N").strip()
    slurm.fail_node(node)
    try:
        told = until_ended(run, store)
    finally:
        slurm.mend_node(node)
    assert told["state"] == "done", json.dumps(told, indent=1)
    assert next(stage for stage in told["stages"] if stage["name"] == "base")["attempts"] >= 3
    assert hashes(store) == hashes(undisturbed)


def _until_it_trains(run: str, store: Path, starts: int) -> str:
    """The job of `base`, once it has been started so often and has told of a step."""

    def trains(told: dict[str, object]) -> bool:
        base = next(stage for stage in told["stages"] if stage["name"] == "base")  # type: ignore[attr-defined]
        assert base["state"] not in ("done", "failed"), base
        journal = store / "runs" / run / "journal" / "base.jsonl"
        events = [json.loads(line)["event"] for line in journal.read_text().splitlines()]
        return events.count("started") >= starts and events[-1] == "progress"

    told = until(run, store, trains)
    return str(next(stage for stage in told["stages"] if stage["name"] == "base")["job_id"])


def test_a_stage_longer_than_its_time_limit_is_queued_again_and_goes_on_to_the_same_bytes(
    slurm: Loopback, tmp_path: Path
) -> None:
    spec, store, undisturbed = training(tmp_path), tmp_path / "store", tmp_path / "undisturbed"
    rung("run", spec, "--store", undisturbed, "--json")
    # Slurm's shortest limit: it warns the job some seconds after its start.
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace("checkpoint_every_steps: 20}", 'checkpoint_every_steps: 20, walltime: "0:01:00"}'))
    run = submit(spec, store)["run"]
    told = until_ended(run, store)
    assert told["state"] == "done", json.dumps(told, indent=1)
    journal = (store / "runs" / run / "journal" / "base.jsonl").read_text()
    assert '"event": "requeued"' in journal
    assert hashes(store) == hashes(undisturbed)


def test_a_job_that_was_killed_while_it_told_its_result_still_ends_well(slurm: Loopback, tmp_path: Path) -> None:
    spec, store = chains(tmp_path, 1), tmp_path / "store"
    slurm.run("scontrol", "update", "partitionname=main", "state=down")
    try:
        submitted = submit(spec, store)
        for label, job_id in submitted["submitted"].items():
            folder = store / "runs" / submitted["run"] / "logs" / label
            (folder / f"{job_id}_0_result.pkl.save_tmp").touch()
    finally:
        slurm.run("scontrol", "update", "partitionname=main", "state=up")
    assert until_ended(submitted["run"], store)["state"] == "done"


def test_a_failure_that_looks_like_the_clusters_is_tried_again_as_often_as_the_stage_allows(
    slurm: Loopback, tmp_path: Path
) -> None:
    spec, store, site = training(tmp_path), tmp_path / "store", tmp_path / "site.yaml"
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace("checkpoint_every_steps: 20}", "checkpoint_every_steps: 20, retries: 1}"))
    # The ranks look for each other on a network that this machine has not.
    site.write_text(LOOPBACK.read_text(encoding="utf-8") + "  environment: {GLOO_SOCKET_IFNAME: gone0}\n")
    run = rung("submit", spec, "--cluster", site, "--store", store, "--json")["run"]
    told = until_ended(run, store)
    base = next(stage for stage in told["stages"] if stage["name"] == "base")
    assert (base["state"], base["attempts"]) == ("failed", 2)
    assert "gone0" in base["message"]

"""Preemption, time limits, dying nodes, kills: a stage ends with the bytes of an undisturbed one."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from submitit.core.utils import DelayedSubmission

from compiler.journal import read_events

from .cases import LOOPBACK, chains, doomed, hashes, rung, states, submit, training, until, until_ended
from .loopback import Loopback

pytestmark = pytest.mark.slow


def test_a_stage_that_is_preempted_and_one_whose_node_dies_end_with_the_bytes_of_an_undisturbed_run(
    slurm: Loopback, trained: Path, tmp_path: Path
) -> None:
    spec, store = training(tmp_path), tmp_path / "store"
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
    assert hashes(store) == hashes(trained)


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
    slurm: Loopback, trained: Path, tmp_path: Path
) -> None:
    spec, store = training(tmp_path), tmp_path / "store"
    # Slurm's shortest limit: it warns the job some seconds after its start.
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace("checkpoint_every_steps: 20}", 'checkpoint_every_steps: 20, walltime: "0:01:00"}'))
    run = submit(spec, store)["run"]
    told = until_ended(run, store)
    assert told["state"] == "done", json.dumps(told, indent=1)
    journal = (store / "runs" / run / "journal" / "base.jsonl").read_text()
    assert '"event": "requeued"' in journal
    assert hashes(store) == hashes(trained)


def test_where_nothing_may_be_queued_again_a_long_stage_is_a_chain_of_jobs_with_the_same_bytes(
    slurm: Loopback, trained: Path, tmp_path: Path
) -> None:
    spec, store, site = training(tmp_path), tmp_path / "store", tmp_path / "site.yaml"
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace("checkpoint_every_steps: 20}", 'checkpoint_every_steps: 20, walltime: "0:01:00"}'))
    # Cores so slow that the plan counts on several jobs.
    slow = LOOPBACK.read_text(encoding="utf-8").replace("training_flops: 38e9 ", "training_flops: 19e8 ")
    site.write_text(slow + "  requeue: false\n  spare_jobs: 9\n", encoding="utf-8")
    submitted = rung("submit", spec, "--cluster", site, "--store", store, "--json")
    planned = json.loads((store / "runs" / submitted["run"] / "plan.json").read_text())["stages"]
    parts = next(stage["segments"] for stage in planned if stage["name"] == "base")
    assert parts > 1
    names = slurm.run("squeue", "--me", "-h", "--states=all", "-o", "%j").splitlines()
    chain = [f"base@{submitted['run']}"] + [f"base@{submitted['run']}#{number}" for number in range(2, parts + 10)]
    # Slurm still knows the jobs of other tests.
    assert sorted(name for name in names if name.startswith(chain[0])) == sorted(chain)
    told = until_ended(submitted["run"], store)
    assert told["state"] == "done", json.dumps(told, indent=1)
    events = _events(store, submitted["run"], "base")
    assert "requeued" in [event["event"] for event in events]
    started = [event["attempt"] for event in events if event["event"] == "started"]
    assert len(started) == len({attempt.split("-")[1] for attempt in started}) > 1, "each start is a job of its own"
    assert hashes(store) == hashes(trained)


def test_a_chain_does_not_repeat_what_fails_by_the_recipes_fault(slurm: Loopback, tmp_path: Path) -> None:
    spec, store, site = doomed(tmp_path), tmp_path / "store", tmp_path / "site.yaml"
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace("count: 100, seed: 1}", 'count: 100, seed: 1, placement: {walltime: "0:01:00"}}'))
    slow = LOOPBACK.read_text(encoding="utf-8").replace("start_up_s: 3\n", "start_up_s: 70\n", 1)
    site.write_text(slow + "  requeue: false\n", encoding="utf-8")
    run = rung("submit", spec, "--cluster", site, "--store", store, "--json")["run"]
    told = until_ended(run, store)
    assert (states(told)["both"], states(told)["tokenizer"]) == ("failed", "blocked")
    events = [event["event"] for event in _events(store, run, "both")]
    assert events.count("queued") > 2
    assert events.count("started") == 1
    # The next chain is another try.
    assert sorted(rung("resume", run, "--store", store, "--json")["submitted"]) == ["both", "tokenizer"]
    until_ended(run, store)
    assert [event["event"] for event in _events(store, run, "both")].count("started") == 2


def _events(store: Path, run: str, label: str) -> list[dict[str, Any]]:
    return list(read_events(store / "runs" / run / "journal" / f"{label}.jsonl"))


def test_a_job_that_gives_way_to_another_partition_ends_with_the_bytes_of_an_undisturbed_run(
    slurm: Loopback, trained: Path, tmp_path: Path
) -> None:
    spec, store = training(tmp_path), tmp_path / "store"
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace("checkpoint_every_steps: 20}", "checkpoint_every_steps: 20, partition: spare}"))
    run = submit(spec, store)["run"]
    base = _until_it_trains(run, store, starts=1)
    node = slurm.run("squeue", "-h", "-j", base, "-o", "%N").strip()
    urgent = slurm.run(
        "sbatch", "--parsable", "--exclusive", f"--nodelist={node}", "--output=/dev/null", "--wrap=sleep 1"
    )
    told = until_ended(run, store)
    assert told["state"] == "done", json.dumps(told, indent=1)
    assert hashes(store) == hashes(trained)
    # Accounting is told of an end some moments later.
    assert _until_in_accounting(slurm, base, "COMPLETED")[0] in ("REQUEUED", "PREEMPTED")
    _until_in_accounting(slurm, urgent.strip(), "COMPLETED")


def _until_in_accounting(slurm: Loopback, job: str, state: str) -> list[str]:
    """The states of a job's runs, once the last of them is so."""
    end = time.monotonic() + 60
    while True:
        runs = slurm.run("sacct", "-D", "-n", "-X", "-P", "-j", job, "-o", "State").split()
        if runs and runs[-1] == state:
            return runs
        assert time.monotonic() < end, runs
        time.sleep(0.5)


def test_what_a_job_finds_of_its_limits_is_what_was_planned(slurm: Loopback, tmp_path: Path) -> None:
    spec, store = chains(tmp_path, 1), tmp_path / "store"
    slurm.run("scontrol", "update", "partitionname=main", "state=down")
    try:
        submitted = submit(spec, store)
        for label, job_id in submitted["submitted"].items():
            file = store / "runs" / submitted["run"] / "logs" / label / f"{job_id}_submitted.pkl"
            found = DelayedSubmission.load(file)
            # An hour is what the partition allows; beyond what is planned a job may be queued again twenty times.
            assert (found._timeout_min, found._timeout_countdown) == (60, 20)
    finally:
        slurm.run("scontrol", "update", "partitionname=main", "state=up")
    assert until_ended(submitted["run"], store)["state"] == "done"


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

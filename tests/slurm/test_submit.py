"""A recipe on a real Slurm: what is submitted, in what order, what comes of it, and what survives."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .cases import (
    LOOPBACK,
    MICRO,
    ROOT,
    chains,
    command,
    doomed,
    message,
    rung,
    states,
    status,
    submit,
    until,
    until_ended,
)
from .loopback import Loopback

pytestmark = pytest.mark.slow


def test_a_whole_recipe_runs_on_slurm_and_each_job_is_the_rendered_script(slurm: Loopback, tmp_path: Path) -> None:
    store = tmp_path / "store"
    submitted = submit(MICRO, store)
    run = store / "runs" / submitted["run"]
    for label, job_id in submitted["submitted"].items():
        received = slurm.run("scontrol", "write", "batch_script", job_id, "-")
        assert received.rstrip("\n") == (run / "jobs" / f"{label}.sh").read_text(encoding="utf-8").rstrip("\n")
    told = until_ended(submitted["run"], store)
    assert told["state"] == "done", json.dumps(told, indent=1)
    assert {stage["state"] for stage in told["stages"]} == {"done"}
    again = rung("plan", MICRO, "--cluster", LOOPBACK, "--store", store, "--json")
    assert again["totals"]["stages_run"] == 0


def test_a_launcher_killed_at_any_moment_submits_no_job_twice_and_forgets_none(slurm: Loopback, tmp_path: Path) -> None:
    rng = random.Random(7)
    spec, store = chains(tmp_path, 10), tmp_path / "store"
    # Nothing starts while it is being submitted, so that what is counted is all there.
    slurm.run("scontrol", "update", "partitionname=main", "state=down")
    try:
        for _ in range(8):
            _kill_after(rng.randint(1, 12), spec, store, rng.random() * 0.02)
        last = submit(spec, store)
        (run,) = (store / "runs").glob("chains-*")
        assert run.name == last["run"]
        names = slurm.run("squeue", "--me", "-h", "-o", "%j").splitlines()
        ours = sorted(name for name in names if name.endswith(f"@{run.name}"))
        assert ours == sorted(f"{label}@{run.name}" for label in states(status(run.name, store)))
        assert submit(spec, store)["submitted"] == {}
    finally:
        slurm.run("scontrol", "update", "partitionname=main", "state=up")
    assert until_ended(run.name, store)["state"] == "done"


def _kill_after(events: int, spec: Path, store: Path, pause_s: float) -> None:
    """Starts a submission and kills it when so many more lines stand in the journals, and a moment has passed."""
    before = _lines(store)
    launcher = subprocess.Popen(
        command("submit", spec, "--cluster", LOOPBACK, "--store", store, "--json"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while launcher.poll() is None and _lines(store) < before + events:
        time.sleep(0.001)
    time.sleep(pause_s)
    launcher.kill()
    launcher.wait()


def _lines(store: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in store.glob("runs/*/journal/*.jsonl"))


def test_what_needs_a_failed_stage_is_blocked_at_once_and_resume_submits_just_what_is_missing(
    slurm: Loopback, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    run = submit(doomed(tmp_path), store)["run"]
    told = until_ended(run, store)
    assert told["state"] == "failed"
    assert states(told) == {"prompts": "done", "one": "done", "other": "done", "both": "failed", "tokenizer": "blocked"}
    by_name = {stage["name"]: stage for stage in told["stages"]}
    assert "distinct dialogues" in by_name["both"]["message"]
    assert by_name["tokenizer"]["message"] == "needs both"
    slurm.run("scontrol", "update", "partitionname=main", "state=down")
    try:
        again = rung("resume", run, "--store", store, "--json")["submitted"]
        assert sorted(again) == ["both", "tokenizer"]
        # Slurm takes a dependency on a job that it has forgotten for satisfied: none may name an old one.
        waits = slurm.run("squeue", "-h", "-j", again["tokenizer"], "-o", "%E").strip()
        assert waits.startswith(f"afterok:{again['both']}")
    finally:
        slurm.run("scontrol", "update", "partitionname=main", "state=up")
    assert until_ended(run, store)["state"] == "failed"


def test_resume_does_not_take_a_job_that_waits_for_a_failed_one_for_alive(slurm: Loopback, tmp_path: Path) -> None:
    spec, store = chains(tmp_path, 1), tmp_path / "store"
    slurm.run("scontrol", "update", "partitionname=main", "state=down")
    try:
        first = submit(spec, store)
        ids = list(first["submitted"].values())
        # Slurm sees some seconds late that these will never start; of one that is held, not at all.
        slurm.run("scontrol", "hold", *ids[1:])
        slurm.run("scancel", ids[0])
        again = rung("resume", first["run"], "--store", store, "--json")["submitted"]
        assert list(again) == list(first["submitted"])
        waiting = slurm.run("squeue", "--me", "-h", "-o", "%F %j").splitlines()
        assert sorted(line.split()[0] for line in waiting if line.endswith(f"@{first['run']}")) == sorted(
            again.values()
        )
    finally:
        slurm.run("scontrol", "update", "partitionname=main", "state=up")
    assert until_ended(first["run"], store)["state"] == "done"


def test_a_cancelled_stage_takes_what_needs_it_along_and_nothing_else(slurm: Loopback, tmp_path: Path) -> None:
    spec, store = chains(tmp_path, 2), tmp_path / "store"
    slurm.run("scontrol", "update", "partitionname=main", "state=down")
    try:
        run = submit(spec, store)["run"]
        cancelled = rung("cancel", run, "--stage", "prompts_0", "--store", store, "--json")["cancelled"]
        assert sorted(cancelled) == ["answers_0", "prompts_0"]
        told = states(status(run, store))
        assert {told["prompts_0"], told["answers_0"]} <= {"cancelled", "blocked"}
        assert told["prompts_1"] == told["answers_1"] == "queued"
    finally:
        slurm.run("scontrol", "update", "partitionname=main", "state=up")
    until(run, store, lambda told: states(told)["answers_1"] == "done")
    assert sorted(rung("resume", run, "--store", store, "--json")["submitted"]) == ["answers_0", "prompts_0"]
    assert until_ended(run, store)["state"] == "done"


def test_status_says_why_a_job_waits_and_when_slurm_does_not_answer(
    slurm: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, store = chains(tmp_path, 1), tmp_path / "store"
    slurm.run("scontrol", "update", "partitionname=main", "state=down")
    try:
        submitted = submit(spec, store)
        run, held = submitted["run"], submitted["submitted"]["prompts_0"]
        assert message(status(run, store), "prompts_0") == "PartitionDown"
        slurm.run("scontrol", "hold", held)
        slurm.run("scontrol", "update", "partitionname=main", "state=up")
        told = until(run, store, lambda told: "waits for the stages" in message(told, "answers_0"))
        assert message(told, "prompts_0").startswith("held by")
        assert set(states(told).values()) == {"queued"}
        monkeypatch.setenv("SLURM_CONF", "/nonexistent/slurm.conf")
        silent = status(run, store)
        assert "Slurm does not answer" in silent["note"]
        assert states(silent)["prompts_0"] == "queued"
    finally:
        monkeypatch.setenv("SLURM_CONF", str(slurm.folder / "slurm.conf"))
        slurm.run("scontrol", "update", "partitionname=main", "state=up")
    slurm.run("scontrol", "release", held)
    assert until_ended(run, store)["state"] == "done"


def test_the_submitters_own_slurm_variables_do_not_speak_against_the_script(
    slurm: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # From inside a job one inherits its GPUs; SBATCH_* would beat the lines of the script.
    monkeypatch.setenv("SLURM_GPUS_PER_NODE", "h100:99")
    monkeypatch.setenv("SBATCH_PARTITION", "no-such-partition")
    spec, store = chains(tmp_path, 1), tmp_path / "store"
    assert until_ended(submit(spec, store)["run"], store)["state"] == "done"


def test_what_sbatch_refuses_is_told_in_its_words(slurm: Loopback, tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(LOOPBACK.read_text().replace('main: {max_walltime: "1:00:00"}', "nowhere: {}"), encoding="utf-8")
    arguments = ("submit", chains(tmp_path, 1), "--cluster", site, "--store", tmp_path / "store")
    done = subprocess.run(command(*arguments), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert "Invalid partition" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_launchers_lock_lives_as_long_as_its_sbatch(slurm: Loopback, tmp_path: Path) -> None:
    """A killed launcher's sbatch may still reach the controller: until it has ended nobody may look what is there."""
    spec, store = chains(tmp_path, 1), tmp_path / "store"
    slow = tmp_path / "bin" / "sbatch"
    slow.parent.mkdir()
    slow.write_text('#!/bin/sh\nsleep 3\nexec /usr/bin/sbatch "$@"\n', encoding="utf-8")
    slow.chmod(0o755)
    launcher = subprocess.Popen(
        command("submit", spec, "--cluster", LOOPBACK, "--store", store, "--json"),
        cwd=ROOT,
        env={**os.environ, "PATH": f"{slow.parent}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while _lines(store) < 1:
        time.sleep(0.01)
    time.sleep(0.3)
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    (run,) = (store / "runs").glob("chains-*")
    refused = subprocess.run(command("resume", run.name, "--store", store), capture_output=True, text=True, cwd=ROOT)
    assert refused.returncode == 2
    assert "being submitted" in refused.stderr
    time.sleep(4)
    assert sorted(submit(spec, store)["submitted"]) == ["answers_0"]
    assert until_ended(run.name, store)["state"] == "done"


def test_a_recipe_can_be_submitted_from_inside_a_job_with_gpus(slurm: Loopback, tmp_path: Path) -> None:
    spec, store = chains(tmp_path, 1), tmp_path / "store"
    words = " ".join(command("submit", spec, "--cluster", LOOPBACK, "--store", store, "--json"))
    log = tmp_path / "outer.log"
    slurm.run("sbatch", "--wait", "--gpus-per-node=1", f"--chdir={ROOT}", f"--output={log}", "--wrap", words)
    assert until_ended(json.loads(log.read_text().splitlines()[-1])["run"], store)["state"] == "done"


def test_without_accounting_a_run_is_submitted_told_and_resumed_all_the_same(
    slurm: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As sacct ends where slurmdbd is away.
    away = tmp_path / "bin" / "sacct"
    away.parent.mkdir()
    away.write_text("#!/bin/sh\necho 'sacct: error: Problem talking to the database: Connection refused' >&2\nexit 1\n")
    away.chmod(0o755)
    monkeypatch.setenv("PATH", f"{away.parent}:{os.environ['PATH']}")
    store = tmp_path / "store"
    run = submit(doomed(tmp_path), store)["run"]
    told = until_ended(run, store)
    assert (states(told)["both"], states(told)["tokenizer"]) == ("failed", "blocked")
    assert "accounting does not answer (sacct: sacct: error: Problem talking to the database" in told["note"]
    assert sorted(rung("resume", run, "--store", store, "--json")["submitted"]) == ["both", "tokenizer"]
    until_ended(run, store)

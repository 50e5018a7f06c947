"""The launcher's choice of what to start next."""

from pathlib import Path

import pytest

from compiler.legs import Leg
from compiler.runs.layout import JOBS, RunJob, RunJobs
from compiler.runs.local import AlreadyRunningError, _sole_launcher, _startable, run_locally


def job(label: str, *needs: str, cores: int = 1, urgency: float = 1.0, gigabytes: float = 0) -> RunJob:
    return RunJob(
        label=label, kind="sft", action="run", reason="", same_as=label, needs=needs, artifact=f"/none/{label}",
        legs=(Leg(ranks=cores),), cores=cores, urgency=urgency, planned_s=1.0, memory_bytes=round(gigabytes * 1e9),
    )  # fmt: skip


def started(jobs: list[RunJob], *running: RunJob, cores: int = 2, gigabytes: float = 0) -> list[str]:
    machine = RunJobs(name="r", cluster="c", cores=cores, memory_bytes=round(gigabytes * 1e9), jobs=())
    waiting = {job.label: job for job in jobs}
    return [job.label for job in _startable(waiting, set(waiting), running, machine)]


def test_ready_stages_start_most_urgent_first_within_the_cores() -> None:
    jobs = [job("a"), job("b", urgency=9.0), job("c", urgency=5.0), job("d", "b", urgency=99.0)]
    assert started(jobs) == ["b", "c"]


def test_a_wide_stage_waits_for_an_idle_machine_and_holds_back_the_rest() -> None:
    jobs = [job("wide", cores=2, urgency=9.0), job("narrow")]
    assert started(jobs, job("other")) == []
    assert started(jobs) == ["wide"]


def test_a_stage_wider_than_the_machine_starts_alone() -> None:
    assert started([job("wide", cores=8, urgency=9.0), job("narrow")]) == ["wide"]
    assert started([job("wide", cores=8, urgency=9.0), job("narrow")], job("other")) == []


def test_stages_start_within_the_memory_too() -> None:
    jobs = [job("a", gigabytes=6, urgency=3), job("b", gigabytes=5, urgency=2), job("c", gigabytes=1)]
    assert started(jobs, cores=8, gigabytes=12) == ["a", "b", "c"]
    assert started(jobs, cores=8, gigabytes=10) == ["a"]
    assert started(jobs, job("other", gigabytes=3), cores=8, gigabytes=10) == ["a"]
    assert started(jobs, cores=8) == ["a", "b", "c"]


def test_a_stage_that_takes_more_memory_than_there_is_starts_alone() -> None:
    jobs = [job("huge", gigabytes=64, urgency=9), job("small", gigabytes=1)]
    assert started(jobs, cores=8, gigabytes=16) == ["huge"]
    assert started(jobs, job("other", gigabytes=1), cores=8, gigabytes=16) == []


def test_needs_that_are_not_waiting_are_done() -> None:
    assert started([job("a", "sealed before")]) == ["a"]


def test_a_run_has_one_launcher(tmp_path: Path) -> None:
    (tmp_path / JOBS).write_text(RunJobs(name="r", cluster="c", cores=1, jobs=()).model_dump_json())
    with _sole_launcher(tmp_path), pytest.raises(AlreadyRunningError):
        run_locally(tmp_path, watch=lambda change: None)
    assert run_locally(tmp_path, watch=lambda change: None).sealed == ()

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from compiler.journal import append_event
from compiler.runs.layout import JOBS, RunJob, RunJobs, journal_path
from compiler.runs.status import read_status


def job(run: Path, label: str, *needs: str, action: Any = "run", same_as: str = "") -> RunJob:
    return RunJob(
        label=label,
        kind="sft",
        action=action,
        reason="sealed yesterday" if action == "reuse" else "",
        same_as=same_as or label,
        needs=needs,
        artifact=str(run / "store" / (same_as or label)),
        ranks=1,
        cores=1,
        urgency=1.0,
        planned_s=1.0,
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    jobs = [
        job(tmp_path, "data", action="reuse"),
        job(tmp_path, "base", "data"),
        job(tmp_path, "sft", "base"),
        job(tmp_path, "dpo", "sft"),
        job(tmp_path, "other", "data"),
        job(tmp_path, "twin", "data", action="reuse", same_as="base"),
    ]
    (tmp_path / JOBS).write_text(RunJobs(name="r", cluster="c", cores=2, jobs=tuple(jobs)).model_dump_json())
    seal(tmp_path, "data")
    return tmp_path


def seal(run: Path, label: str) -> None:
    (run / "store" / label).mkdir(parents=True)
    (run / "store" / label / "artifact.json").write_text("{}")


def tell(run: Path, label: str, event: str, **fields: Any) -> None:
    append_event(journal_path(run, label), event, host=platform.node(), **fields)


def states(run: Path) -> dict[str, str]:
    return {stage.name: stage.state for stage in read_status(run).stages}


def test_before_anything_happens_stages_wait(run: Path) -> None:
    assert states(run) == {
        "data": "reused", "base": "waiting", "sft": "waiting", "dpo": "waiting", "other": "waiting", "twin": "waiting",
    }  # fmt: skip
    assert read_status(run).state == "waiting"


def test_a_failure_blocks_what_follows_and_nothing_else(run: Path) -> None:
    tell(run, "base", "started", pid=os.getpid())
    tell(run, "base", "failed", error="ValueError: no")
    assert states(run) == {
        "data": "reused", "base": "failed", "sft": "blocked", "dpo": "blocked", "other": "waiting", "twin": "failed",
    }  # fmt: skip
    status = {stage.name: stage for stage in read_status(run).stages}
    assert status["base"].message == "ValueError: no"
    assert status["dpo"].message == "needs sft"
    assert read_status(run).state == "failed"


def test_what_is_sealed_is_done_whatever_the_journal_says(run: Path) -> None:
    tell(run, "base", "started", pid=1)
    tell(run, "base", "failed", error="lost")
    seal(run, "base")
    assert states(run)["base"] == "done"
    assert states(run)["twin"] == "done"


def test_a_process_that_is_gone_is_not_running(run: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    tell(run, "base", "started", pid=process.pid)
    tell(run, "base", "progress", done=3, total=9, unit="step")
    base = next(stage for stage in read_status(run).stages if stage.name == "base")
    assert base.state == "failed"
    assert "gone" in base.message


def test_a_living_worker_is_running_with_its_progress(run: Path) -> None:
    code = "import sys, time; print('up', flush=True); time.sleep(30)  # runtime"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        tell(run, "base", "started", pid=process.pid)
        tell(run, "base", "progress", done=3, total=9, unit="step")
        base = next(stage for stage in read_status(run).stages if stage.name == "base")
        assert base.state == "running"
        assert base.progress is not None
        assert base.progress["done"] == 3
    finally:
        process.kill()
        process.wait()


def test_a_second_attempt_outlives_the_first_ones_failure(run: Path) -> None:
    for _ in range(2):
        tell(run, "base", "started", pid=os.getpid())
    tell(run, "base", "failed", error="old")
    tell(run, "base", "queued", job_id="0")
    status = next(stage for stage in read_status(run).stages if stage.name == "base")
    assert status.state in ("queued", "waiting")
    assert status.attempts == 2


def test_a_line_cut_short_by_a_kill_is_no_event(run: Path) -> None:
    tell(run, "base", "started", pid=os.getpid())
    with journal_path(run, "base").open("a") as journal:
        journal.write('{"event": "fai')
    assert states(run)["base"] in ("running", "failed")

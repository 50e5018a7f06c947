import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from compiler.job import job_name
from compiler.journal import append_event
from compiler.legs import Leg
from compiler.runs.layout import JOBS, RunJob, RunJobs, journal_path
from compiler.runs.queue import Queue, QueuedJob
from compiler.runs.status import StageStatus, read_status


def job(run: Path, label: str, *needs: str, action: Any = "run", same_as: str = "") -> RunJob:
    return RunJob(
        label=label,
        kind="sft",
        action=action,
        reason="sealed yesterday" if action == "reuse" else "",
        same_as=same_as or label,
        needs=needs,
        artifact=str(run / "store" / (same_as or label)),
        legs=(Leg(ranks=1),),
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


def left(run: Path, *events: tuple[str, dict[str, Any]]) -> float | None:
    """Seconds left of a stage with such events, one each ten seconds."""
    journal = journal_path(run, "base")
    journal.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"event": event, "time": 10.0 * number, **fields}) for number, (event, fields) in enumerate(events)
    ]
    journal.write_text("\n".join(lines) + "\n")
    return next(stage for stage in read_status(run).stages if stage.name == "base").left_s


def told(done: int, total: int = 100, **more: Any) -> tuple[str, dict[str, Any]]:
    return "progress", {"done": done, "total": total, "unit": "step", **more}


START = ("started", {"pid": 1, "host": "elsewhere"})


def test_what_is_left_is_told_at_the_pace_since_the_start(run: Path) -> None:
    assert left(run, START) is None
    assert left(run, START, told(20)) == 40
    assert left(run, START, told(20), told(60)) == pytest.approx(40 / 3)


def test_a_stage_that_went_on_from_before_tells_by_what_it_did_since(run: Path) -> None:
    assert left(run, START, told(50), START, told(50)) is None
    assert left(run, START, told(50), START, told(50), told(60)) == 40


def test_shards_go_side_by_side(run: Path) -> None:
    both = (told(10, shard=0), told(40, shard=1))
    # 1 and 2 a second, 90 and 60 to go.
    assert left(run, ("started", {**START[1], "shard": 0}), *both) == 50


def on_a_node(run: Path, event: str, **fields: Any) -> None:
    append_event(journal_path(run, "base"), event, **{"host": "node0", **fields})


def slurm_says(run: Path, *jobs: QueuedJob, asked: float | None = None) -> StageStatus:
    queue = Queue({job.job_id: job for job in jobs}, asked=time.time() + 1 if asked is None else asked)
    return next(stage for stage in read_status(run, queue).stages if stage.name == "base")


def queued(run: Path, job_id: str, state: str, *, number: int = 1, **more: Any) -> QueuedJob:
    return QueuedJob(job_id, job_name("base", run.name, number), state, more.pop("reason", ""), **more)


def submitted(run: Path, *job_ids: str) -> None:
    for number, job_id in enumerate(job_ids, start=1):
        on_a_node(run, "submitting", number=number)
        on_a_node(run, "queued", job_id=job_id)


def test_a_job_that_slurm_has_forgotten_does_not_wait_for_ever(run: Path) -> None:
    submitted(run, "7")
    assert slurm_says(run).state == "failed"
    assert "knows its job no more" in slurm_says(run).message
    # What was submitted after the question is not forgotten.
    assert slurm_says(run, asked=0.0).state == "queued"


def test_a_job_id_that_was_given_out_again_is_somebody_elses(run: Path) -> None:
    submitted(run, "7")
    assert slurm_says(run, queued(run, "7", "PENDING")).state == "queued"
    assert slurm_says(run, QueuedJob("7", "other@" + run.name, "RUNNING", "")).state == "failed"


def test_a_suspended_job_has_not_ended(run: Path) -> None:
    submitted(run, "7")
    on_a_node(run, "started", pid=1)
    assert slurm_says(run, queued(run, "7", "SUSPENDED")).state == "running"


@pytest.mark.parametrize(
    ("code", "words"), [("137:0", "killed by signal 9"), ("0:9", "signal 9"), ("3:0", "exit status 3")]
)
def test_how_a_job_ended_that_could_not_say_it_itself_is_told(run: Path, code: str, words: str) -> None:
    submitted(run, "7")
    on_a_node(run, "started", pid=1)
    found = slurm_says(run, queued(run, "7", "FAILED", exit_code=code))
    assert found.state == "failed"
    assert words in found.message


def test_of_a_chain_the_job_that_is_at_work_counts(run: Path) -> None:
    submitted(run, "7", "8", "9")
    chain = [queued(run, "7", "FAILED"), queued(run, "8", "RUNNING", number=2), queued(run, "9", "PENDING", number=3)]
    on_a_node(run, "started", pid=1)
    on_a_node(run, "requeued")
    on_a_node(run, "started", pid=1)
    found = slurm_says(run, *chain)
    assert (found.state, found.job_id) == ("running", "8")
    ended = [queued(run, job.job_id, "FAILED", number=number) for number, job in enumerate(chain, start=1)]
    assert slurm_says(run, *ended).state == "failed"


def test_of_a_job_that_was_told_to_end_what_its_other_ranks_say_counts_for_nothing(run: Path) -> None:
    submitted(run, "7")
    on_a_node(run, "started", pid=1, attempt="first")
    on_a_node(run, "requeued", attempt="first", rank=0)
    on_a_node(run, "failed", attempt="first", rank=1, error="connection closed by peer")
    assert slurm_says(run, queued(run, "7", "PENDING")).state == "queued"
    assert read_status(run).stages[1].state == "queued"
    on_a_node(run, "started", pid=1, attempt="second")
    on_a_node(run, "failed", attempt="second", rank=0, error="a mistake")
    assert slurm_says(run, queued(run, "7", "FAILED")).message == "a mistake"


def test_a_job_that_slurm_holds_since_it_could_not_be_started_has_failed_and_blocks_what_waits_for_it(
    run: Path,
) -> None:
    submitted(run, "7")
    append_event(journal_path(run, "sft"), "queued", job_id="8", host="node0")
    held = queued(run, "7", "PENDING", reason="launch failed requeued held")
    waits = QueuedJob("8", job_name("sft", run.name), "PENDING", "Dependency")
    queue = Queue({"7": held, "8": waits}, asked=time.time() + 1)
    found = {stage.name: stage for stage in read_status(run, queue).stages}
    assert found["base"].state == "failed" and "rung resume" in found["base"].message
    assert (found["sft"].state, found["sft"].message) == ("blocked", "needs base")
    assert read_status(run, queue).state == "failed"


def test_a_stage_that_other_ranks_go_on_with_waits_for_them_where_nobody_is_left_to_start_them(run: Path) -> None:
    launched = subprocess.Popen([sys.executable, "-c", "pass"])
    launched.wait()
    tell(run, "base", "queued", job_id=str(launched.pid))
    tell(run, "base", "started", pid=launched.pid)
    tell(run, "base", "handed_over", attempt="a", step=9, ranks=2)
    base = next(stage for stage in read_status(run).stages if stage.name == "base")
    assert (base.state, base.message) == ("waiting", "goes on with 2 ranks")
    assert read_status(run).state == "waiting"


def test_between_two_jobs_of_different_sizes_a_stage_is_queued_and_after_the_last_one_failed(run: Path) -> None:
    name = job_name("base", run.name)
    for number, job_id in enumerate(("7", "8"), start=1):
        append_event(journal_path(run, "base"), "submitting", number=number, leg=number - 1)
        append_event(journal_path(run, "base"), "queued", job_id=job_id)
    append_event(journal_path(run, "base"), "started", attempt="slurm-7-0", pid=1, host="elsewhere")
    append_event(journal_path(run, "base"), "handed_over", attempt="slurm-7-0", step=9, ranks=2)

    def seen(first: str, second: str, reason: str = "") -> StageStatus:
        jobs = [QueuedJob("7", name, first, ""), QueuedJob("8", f"{name}#2", second, reason)]
        status = read_status(run, Queue({job.job_id: job for job in jobs}))
        return next(stage for stage in status.stages if stage.name == "base")

    waits = seen("COMPLETED", "PENDING", "Resources")
    assert (waits.state, waits.job_id, waits.message) == ("queued", "8", "start 2: waits for free nodes (Resources)")
    assert seen("COMPLETED", "RUNNING").state == "running"
    stuck = seen("FAILED", "FAILED")
    assert stuck.state == "failed"
    assert stuck.message == "no job of it is left that goes on with 2 ranks: `rung resume` submits it"

"""The state of a run, read from its files: job list, journals, and what is sealed in the store."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from compiler.journal import read_events
from compiler.runs.layout import JOBS, RunJob, journal_path, read_jobs
from compiler.runs.queue import Queue, QueuedJob, SlurmSilentError, in_words, read_queue

State = Literal["waiting", "queued", "running", "done", "reused", "failed", "blocked", "cancelled"]


@dataclass(frozen=True)
class StageStatus:
    """One stage of a run."""

    name: str
    kind: str
    state: State
    job_id: str | None = None
    attempts: int = 0
    started: float | None = None
    """Unix time of the last attempt's start."""
    ended: float | None = None
    message: str = ""
    progress: dict[str, Any] | None = None
    """The stage's last word on where it is."""
    measured: dict[str, Any] | None = None


@dataclass(frozen=True)
class RunStatus:
    """A run and its stages, in topological order."""

    run: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    stages: tuple[StageStatus, ...]
    note: str = ""
    """What the reader should know of the others: that Slurm does not answer, say."""


def current_status(run: Path) -> RunStatus:
    """What the files say and, of a run on Slurm, what Slurm says of its jobs: one question for all of them."""
    jobs = read_jobs(run)
    if jobs.executor != "slurm":
        return read_status(run)
    try:
        queue = read_queue((run / JOBS).stat().st_mtime - 60)
    except SlurmSilentError as error:
        return replace(read_status(run), note=f"Slurm does not answer ({error}); this is what the journals say")
    return replace(read_status(run, queue), note=queue.note)


def read_status(run: Path, queue: Queue | None = None) -> RunStatus:
    """What the files say now, and the queue, where one was asked for. Holds no lock."""
    jobs = read_jobs(run).jobs
    found: dict[str, StageStatus] = {}
    for job in jobs:
        status = read_stage(run, job, queue)
        if job.same_as != job.label and job.same_as in found:
            status = StageStatus(job.label, job.kind, found[job.same_as].state, message=f"the same as {job.same_as}")
        elif status.state in ("waiting", "cancelled"):
            stopped = [need for need in job.needs if found[need].state in ("failed", "blocked")]
            if stopped:
                status = StageStatus(job.label, job.kind, "blocked", message=f"needs {stopped[0]}")
        found[job.label] = status
    return RunStatus(run.name, _run_state(tuple(found.values())), tuple(found.values()))


def read_stage(run: Path, job: RunJob, queue: Queue | None = None) -> StageStatus:
    """One stage by itself, whatever became of those it needs."""
    told = _read_journal(run, job)
    if queue is None or told.job_id is None or told.state in ("done", "reused"):
        return told
    return _reconciled(told, queue.jobs.get(told.job_id))


def _reconciled(told: StageStatus, job: QueuedJob | None) -> StageStatus:
    """The journal's word, corrected by Slurm's: a job that was killed could not write any more."""
    if job is None:
        # Slurm's memory of a job begins late and ends early; the journal is all there is.
        return told
    match job.phase:
        case "pending":
            again = f"start {told.attempts + 1}: " if told.attempts else ""
            return replace(told, state="queued", ended=None, message=f"{again}{in_words(job.reason)}")
        case "running":
            return replace(told, state="running" if told.attempts else "queued", ended=None, message="")
        case _ if told.state in ("failed", "cancelled"):
            return told
        case _ if job.state == "CANCELLED" or job.reason == "DependencyNeverSatisfied":
            return replace(told, state="cancelled", message="cancelled")
        case _:
            message = f"Slurm says {job.state}" + (", but nothing is sealed" if job.state == "COMPLETED" else "")
            return replace(told, state="failed", message=message)


def _read_journal(run: Path, job: RunJob) -> StageStatus:
    sealed = (Path(job.artifact) / "artifact.json").is_file()
    if job.action != "run":
        return StageStatus(
            job.label, job.kind, "reused" if sealed or job.action == "skip" else "waiting", message=job.reason
        )
    events = list(read_events(journal_path(run, job.label)))
    queued = [event for event in events if event["event"] == "queued"]
    # An array's elements start each for itself; the first stands for all.
    started = [event for event in events if event["event"] == "started" and not event.get("shard")]
    ended = [event for event in events if event["event"] in ("sealed", "failed", "cancelled")]
    progress = [event for event in events if event["event"] == "progress"]
    last = events[-1] if events else {}
    requeued = last.get("event") in ("requeued", "retried")
    common: dict[str, Any] = {
        "job_id": queued[-1].get("job_id") if queued else None,
        "attempts": len(started),
        "started": started[-1]["time"] if started else None,
        "progress": _together(progress),
    }
    if sealed:
        measured = ended[-1] if ended else None
        return StageStatus(
            job.label, job.kind, "done", ended=ended[-1]["time"] if ended else None, measured=measured, **common
        )
    in_attempt = [event for event in ended if started and event["time"] >= started[-1]["time"]]
    failed = [event for event in in_attempt if event["event"] == "failed"]
    if requeued or last.get("event") == "submitting":
        return StageStatus(job.label, job.kind, "queued" if requeued else "waiting", **common)
    if last.get("event") == "cancelled" and last.get("job_id"):
        return StageStatus(job.label, job.kind, "cancelled", ended=last["time"], message=last["error"], **common)
    if last.get("event") == "queued":
        alive = _alive(last.get("host"), last.get("job_id"))
        return StageStatus(job.label, job.kind, "queued" if alive else "waiting", **common)
    if failed:
        return StageStatus(job.label, job.kind, "failed", ended=failed[0]["time"], message=failed[0]["error"], **common)
    if in_attempt:
        return StageStatus(
            job.label, job.kind, "cancelled", ended=in_attempt[0]["time"], message="interrupted", **common
        )
    if started:
        if _alive(started[-1].get("host"), started[-1].get("pid")):
            return StageStatus(job.label, job.kind, "running", **common)
        word = "its process is gone without a word (killed?)"
        return StageStatus(job.label, job.kind, "failed", ended=last["time"], message=word, **common)
    return StageStatus(job.label, job.kind, "waiting", **common)


def _together(progress: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The last word on where the stage is; what its shards have done and have to do is added up."""
    if not progress:
        return None
    last = {event.get("shard"): event for event in progress}
    sums = {name: sum(event.get(name, 0) for event in last.values()) for name in ("done", "total")}
    return {**progress[-1], **sums} if len(last) > 1 else progress[-1]


def _alive(host: object, pid: object) -> bool:
    """Whether that process still runs one of our jobs; on another host nobody can tell, so it counts as alive."""
    if host != platform.node():
        return True
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"submitit" in command or b"runtime" in command


def _run_state(stages: tuple[StageStatus, ...]) -> Literal["waiting", "running", "done", "failed", "cancelled"]:
    states = {stage.state for stage in stages}
    if states <= {"done", "reused"}:
        return "done"
    if states & {"running", "queued"}:
        return "running"
    if states & {"failed", "blocked"}:
        return "failed"
    return "cancelled" if "cancelled" in states else "waiting"

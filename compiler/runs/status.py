"""The state of a run, read from its files: job list, journals, and what is sealed in the store."""

import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from compiler.job import job_name
from compiler.journal import own_events, read_events
from compiler.runs.layout import JOBS, RunJob, journal_path, log_folder, read_jobs
from compiler.runs.queue import Queue, SlurmSilentError, end_in_words, in_words, read_queue
from compiler.runs.series import Series, at_work, last_series

_GONE = "its process is gone without a word (killed?)"
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
    left_s: float | None = None
    """Seconds left from that word on, at the pace since it was started; None before it has told of any."""
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
        queue = run_queue(run)
    except SlurmSilentError as error:
        return replace(read_status(run), note=f"Slurm does not answer ({error}); this is what the journals say")
    return replace(read_status(run, queue), note=queue.note)


def run_queue(run: Path) -> Queue:
    """What Slurm says of the jobs of whoever submitted this run, since it began. Raises SlurmSilentError."""
    told = (run / JOBS).stat()
    theirs = told.st_uid != os.getuid()
    return read_queue(told.st_mtime - 60, (run / JOBS).owner() if theirs else "")


def read_status(run: Path, queue: Queue | None = None) -> RunStatus:
    """What the files say now, and the queue, where one was asked for. Holds no lock."""
    jobs = read_jobs(run).jobs
    found: dict[str, StageStatus] = {}
    for job in jobs:
        status = read_stage(run, job, queue)
        if job.same_as != job.label and job.same_as in found:
            status = StageStatus(job.label, job.kind, found[job.same_as].state, message=f"the same as {job.same_as}")
        elif status.state in ("waiting", "queued", "cancelled"):
            stopped = [need for need in job.needs if found[need].state in ("failed", "blocked")]
            if stopped:
                status = StageStatus(job.label, job.kind, "blocked", message=f"needs {stopped[0]}")
        found[job.label] = status
    return RunStatus(run.name, _run_state(tuple(found.values())), tuple(found.values()))


def read_stage(run: Path, job: RunJob, queue: Queue | None = None) -> StageStatus:
    """One stage by itself, whatever became of those it needs."""
    events = own_events(read_events(journal_path(run, job.label))) if job.action == "run" else []
    told = _read_journal(job, events)
    if queue is None or told.state in ("done", "reused"):
        return told
    series = last_series(events)
    if not series.job_ids:
        return told
    return _reconciled(told, job, series, queue, run)


def _reconciled(told: StageStatus, job: RunJob, series: Series, queue: Queue, run: Path) -> StageStatus:
    """The journal's word, corrected by Slurm's: a job that was killed could not write any more."""
    found = at_work(series.found(queue, job_name(job.label, run.name)))
    if found is None:
        if told.state in ("queued", "running") and series.told < queue.asked:
            # squeue knows jobs for minutes after their end, accounting for longer.
            return replace(told, state="failed", message="Slurm knows its job no more, and nothing is sealed")
        return told
    told = replace(told, job_id=found.job_id)
    match found.phase:
        case "pending" if found.held:
            return replace(told, state="failed", message=in_words(found.reason))
        case "pending":
            again = f"start {told.attempts + 1}: " if told.attempts else ""
            return replace(told, state="queued", ended=None, message=f"{again}{in_words(found.reason)}")
        case "running":
            return replace(told, state="running" if told.attempts else "queued", ended=None, message="")
        case _ if told.state in ("failed", "cancelled") and told.message != _GONE:
            return told
        case _ if found.state == "CANCELLED" or found.reason == "DependencyNeverSatisfied":
            return replace(told, state="cancelled", message="cancelled")
        case _ if told.state == "queued" and told.attempts and told.message:
            word = f"no job of it is left that {told.message}: `rung resume` submits it"
            return replace(told, state="failed", message=word)
        case _ if told.state == "queued" and told.attempts and not job.requeues:
            word = "ended by its time limit or a preemption, and nothing is queued again here: `rung resume` goes on"
            return replace(told, state="failed", message=word)
        case _:
            message = f"Slurm says {end_in_words(found)}" + (", but nothing is sealed" * (found.state == "COMPLETED"))
            words = _last_words(log_folder(run, job.label))
            return replace(told, state="failed", message=f"{message}; its log ends: {words}" if words else message)


def _last_words(folder: Path) -> str:
    """The last line of what rank 0 printed last."""
    logs = sorted(folder.glob("*_0_log.out"), key=lambda log: log.stat().st_mtime_ns)
    with suppress(OSError):
        for log in reversed(logs):
            with log.open("rb") as file:
                file.seek(max(0, log.stat().st_size - 4096))
                lines = file.read().decode(errors="replace").split("\n")
            if spoken := [line.strip() for line in lines if line.strip()]:
                return spoken[-1]
    return ""


def _read_journal(job: RunJob, events: Sequence[dict[str, Any]]) -> StageStatus:
    sealed = (Path(job.artifact) / "artifact.json").is_file()
    if job.action != "run":
        return StageStatus(
            job.label, job.kind, "reused" if sealed or job.action == "skip" else "waiting", message=job.reason
        )
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
        "left_s": _seconds_left(progress, started[-1]["time"], first=len(started) == 1) if started else None,
    }
    if sealed:
        made = [event for event in ended if "wall_s" in event] or ended
        return StageStatus(
            job.label,
            job.kind,
            "done",
            ended=made[-1]["time"] if made else None,
            measured=made[-1] if made else None,
            **common,
        )
    in_attempt = [event for event in ended if started and event["time"] >= started[-1]["time"]]
    failed = [event for event in in_attempt if event["event"] == "failed"]
    if requeued or last.get("event") == "submitting":
        return StageStatus(job.label, job.kind, "queued" if requeued else "waiting", **common)
    if last.get("event") == "cancelled" and last.get("job_id"):
        return StageStatus(job.label, job.kind, "cancelled", ended=last["time"], message=last["error"], **common)
    if last.get("event") == "queued" or (last.get("event") == "handed_over" and queued):
        alive = _alive(queued[-1].get("host"), queued[-1].get("job_id"))
        message = f"goes on with {last['ranks']} rank{'s' * (last['ranks'] > 1)}" if "ranks" in last else ""
        return StageStatus(job.label, job.kind, "queued" if alive else "waiting", message=message, **common)
    if failed:
        return StageStatus(job.label, job.kind, "failed", ended=failed[0]["time"], message=failed[0]["error"], **common)
    if in_attempt:
        return StageStatus(
            job.label, job.kind, "cancelled", ended=in_attempt[0]["time"], message="interrupted", **common
        )
    if started:
        if _alive(started[-1].get("host"), started[-1].get("pid")):
            return StageStatus(job.label, job.kind, "running", **common)
        return StageStatus(job.label, job.kind, "failed", ended=last["time"], message=_GONE, **common)
    return StageStatus(job.label, job.kind, "waiting", **common)


def _together(progress: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The last word on where the stage is; what its shards have done and have to do is added up."""
    if not progress:
        return None
    last = {event.get("shard"): event for event in progress}
    sums = {name: sum(event.get(name, 0) for event in last.values()) for name in ("done", "total")}
    return {**progress[-1], **sums} if len(last) > 1 else progress[-1]


def _seconds_left(progress: Sequence[dict[str, Any]], begun: float, *, first: bool) -> float | None:
    """What is left to do over the pace since the last start, shards together. A stage that went on from before says
    with its first word where it began."""
    by_shard: dict[object, list[dict[str, Any]]] = {}
    for event in progress:
        if event["time"] >= begun and event.get("total") is not None:
            by_shard.setdefault(event.get("shard"), []).append(event)
    pace = left = 0.0
    for told in by_shard.values():
        done, since = (0, begun) if first else (told[0]["done"], told[0]["time"])
        if told[-1]["time"] > since:
            pace += (told[-1]["done"] - done) / (told[-1]["time"] - since)
        left += told[-1]["total"] - told[-1]["done"]
    return left / pace if pace > 0 else None


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

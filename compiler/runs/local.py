"""Runs a bundle on this machine: each stage a submitit job of its own, side by side within its cores and memory."""

import fcntl
import os
import platform
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import submitit

from compiler.job import StageJob
from compiler.journal import append_event, read_events
from compiler.manifest import Manifest
from compiler.runs.layout import RunJob, RunJobs, journal_path, leg_now, log_folder, manifest_name, read_jobs

_POLL_S = 0.05
_NO_TIME_LIMIT_MIN = 60 * 24 * 30


class AlreadyRunningError(RuntimeError):
    """Another launcher works on this run."""


@dataclass(frozen=True)
class Change:
    """What the launcher did or saw."""

    job: RunJob
    what: str
    """`submitted`, `sealed`, `handed over` (to other ranks) or `ended` (without sealing)."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended here: labels by what became of them."""

    sealed: tuple[str, ...]
    failed: tuple[str, ...]


def run_locally(run: Path, *, watch: Callable[[Change | None], None]) -> Outcome:
    """Runs every stage that is not sealed; returns when nothing more can run.

    `watch` is called at each change, and with None at every poll in between. A failed stage stops only its dependents.
    Interrupted (Ctrl-C, SIGTERM, the terminal that closes) it interrupts its jobs and raises KeyboardInterrupt; the run
    can be resumed.
    """
    jobs = read_jobs(run)
    with _sole_launcher(run), _ends_as_interrupted(), _environment(PYTHONSAFEPATH="1"):
        return _launch(run, jobs, watch)


def _launch(run: Path, jobs: RunJobs, watch: Callable[[Change | None], None]) -> Outcome:
    wanted = {job.label: job for job in jobs.jobs if job.action == "run" and not _sealed(job)}
    waiting = {label: _as_it_goes_on(run, job) for label, job in wanted.items()}
    unfinished = set(waiting)
    running: dict[str, tuple[RunJob, submitit.Job[None]]] = {}
    sealed: list[str] = []
    failed: list[str] = []
    try:
        while waiting or running:
            for job in _startable(waiting, unfinished, [job for job, _ in running.values()], jobs):
                running[job.label] = (waiting.pop(job.label), _submit(run, job))
                watch(Change(job, "submitted"))
            if not running:
                break
            time.sleep(_POLL_S)
            for label, (job, handle) in list(running.items()):
                if not handle.done():
                    continue
                del running[label]
                if _sealed(job):
                    unfinished.discard(label)
                    sealed.append(label)
                    watch(Change(job, "sealed"))
                elif _handed_over(run, job):
                    waiting[label] = _as_it_goes_on(run, wanted[label])
                    watch(Change(job, "handed over"))
                else:
                    failed.append(label)
                    watch(Change(job, "ended"))
            watch(None)
    except KeyboardInterrupt:
        _interrupt([handle for _, handle in running.values()])
        raise
    return Outcome(tuple(sealed), tuple(failed))


def _startable(
    waiting: dict[str, RunJob], unfinished: set[str], running: Sequence[RunJob], machine: RunJobs
) -> Iterator[RunJob]:
    """Ready jobs that fit, most urgent first; a job larger than the machine waits for an idle one.

    A large job that does not fit holds back the smaller ones behind it, or it might never start.
    """
    cores, memory_bytes = machine.cores, machine.memory_bytes
    taken = list(running)
    ready = [job for job in waiting.values() if not any(need in unfinished for need in job.needs)]
    for job in sorted(ready, key=lambda job: -job.urgency):
        wide = sum(other.cores for other in taken) + job.cores > cores
        fat = memory_bytes and sum(other.memory_bytes for other in taken) + job.memory_bytes > memory_bytes
        if taken and (wide or fat):
            return
        taken.append(job)
        yield job


def _submit(run: Path, job: RunJob) -> "submitit.Job[None]":
    manifest_file = run / manifest_name(job.label)
    placement = Manifest.model_validate_json(manifest_file.read_bytes()).placement
    executor = submitit.AutoExecutor(folder=log_folder(run, job.label), cluster="local", local_python=_python())
    executor.update_parameters(
        name=job.label,
        tasks_per_node=job.ranks,
        timeout_min=_NO_TIME_LIMIT_MIN,
        stderr_to_stdout=True,
    )
    attempt = secrets.token_hex(4)
    log = log_folder(run, job.label) / "controller.log"
    with _environment(OMP_NUM_THREADS=str(placement.threads)), _standard_error(log):
        handle = executor.submit(StageJob(str(manifest_file), placement.threads, attempt))
    append_event(
        journal_path(run, job.label), "queued", job_id=str(handle.job_id), attempt=attempt, host=platform.node()
    )
    return handle


def _as_it_goes_on(run: Path, job: RunJob) -> RunJob:
    """The job with what the leg takes that its stage is at."""
    if len(job.legs) == 1:
        return job
    leg = job.legs[leg_now(run, job)]
    taken = {"cores": job.cores * leg.ranks // job.ranks, "memory_bytes": job.memory_bytes * leg.ranks // job.ranks}
    return job.model_copy(update={"legs": (leg,), **taken})


def _handed_over(run: Path, job: RunJob) -> bool:
    """Whether the job that was submitted last has ended so that other ranks may go on."""
    last = ""
    for event in read_events(journal_path(run, job.label)):
        if event["event"] in ("queued", "handed_over"):
            last = event["event"]
    return last == "handed_over"


def _sealed(job: RunJob) -> bool:
    return (Path(job.artifact) / "artifact.json").is_file()


def _interrupt(handles: list[Any]) -> None:
    """Every process below this one is told: a controller that is told alone while it starts its ranks leaves them."""
    below = _descendants(os.getpid())
    for handle in handles:
        handle.cancel()
    for process in below:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGINT)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not all(handle.done() for handle in handles):
        time.sleep(_POLL_S)


def _descendants(process: int) -> list[int]:
    """Of Linux's process table; none elsewhere."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    except OSError:
        return []
    return [below for child in map(int, children) for below in (child, *_descendants(child))]


def _python() -> str:
    return f"{sys.executable} -P"


@contextmanager
def _sole_launcher(run: Path) -> Iterator[None]:
    with (run / "launcher.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(f"run {run.name} is being run by another `rung run` or `rung resume`") from None
        yield


@contextmanager
def _ends_as_interrupted() -> Iterator[None]:
    """Who is told to end takes its jobs along. What a parent has it ignore (nohup) it goes on ignoring."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    heard = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) is signal.SIG_DFL]
    for one in heard:
        signal.signal(one, interrupt)
    try:
        yield
    finally:
        for one in heard:
            signal.signal(one, signal.SIG_DFL)


@contextmanager
def _standard_error(log: Path) -> Iterator[None]:
    """Processes started inside write their errors to this file: submitit's controller shows a traceback at Ctrl-C."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    kept = os.dup(2)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Environment variables for the jobs submitted inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

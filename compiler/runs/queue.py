"""What Slurm says of our jobs: one squeue and one sacct for a whole run, however many jobs it has.

squeue knows at once what waits and runs; sacct remembers what has ended, some seconds late.
"""

import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

_PATIENCE_S = 60

Phase = Literal["pending", "running", "ended"]
_PENDING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
_RUNNING = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT"}


class SlurmSilentError(RuntimeError):
    """Slurm's commands are not there, or its controller does not answer."""


@dataclass(frozen=True)
class QueuedJob:
    """One job, as Slurm sees it."""

    job_id: str
    name: str
    state: str
    """Slurm's word: PENDING, RUNNING, NODE_FAIL, ..."""
    reason: str
    """Why it waits, in Slurm's word; empty otherwise."""
    exit_code: str = ""
    """`status:signal` of one that has ended, as accounting tells it."""

    @property
    def phase(self) -> Phase:
        """Whether it waits, runs or has ended."""
        if self.state in _PENDING:
            return "ended" if self.reason == "DependencyNeverSatisfied" else "pending"
        return "running" if self.state in _RUNNING else "ended"

    @property
    def held(self) -> bool:
        """Whether Slurm holds it since it could not be started: it waits, and will not go on by itself."""
        return self.phase == "pending" and "requeued held" in self.reason

    @property
    def alive(self) -> bool:
        """Whether it may still do something."""
        return self.phase != "ended"


@dataclass(frozen=True)
class Queue:
    """Our user's jobs."""

    jobs: Mapping[str, QueuedJob]
    """By job id."""
    note: str = ""
    """What is not known: where accounting does not answer, jobs that ended long ago."""
    asked: float = 0.0
    """Unix time of the question: of what was submitted later nothing is known."""

    def find(self, job_id: str, name: str) -> QueuedJob | None:
        """The job of this id, if it has this name too, or that of a later job of its chain: a controller that lost its
        last seconds in a crash gives their ids out again."""
        job = self.jobs.get(job_id)
        return job if job is not None and job.name.partition("#")[0] == name else None

    def named(self, name: str) -> QueuedJob | None:
        """The job of this name that was submitted last; names of jobs that are alive come first."""
        found = [job for job in self.jobs.values() if job.name == name]
        return max(found, key=lambda job: (job.alive, int(job.job_id)), default=None)


def read_queue(since: float, user: str = "") -> Queue:
    """Jobs of a user (who asks, where none is named), those that have ended since a Unix time included.

    Raises SlurmSilentError where the controller does not answer. Accounting may be off or away: then nothing is known
    of jobs that the controller has forgotten, which are not alive in any case.
    """
    asked = time.time()
    day = datetime.fromtimestamp(since).strftime("%Y-%m-%dT%H:%M:%S")
    whose = [f"--user={user}"] if user else []
    told, note = "", ""
    try:
        told = ask("sacct", *whose, "-X", "-P", "-n", "-D", "-S", day, "-o", "JobID,State,ExitCode,JobName")
    except SlurmSilentError as error:
        note = f"Slurm's accounting does not answer ({error})"
    known = ask("squeue", *(whose or ["--me"]), "--states=all", "-h", "-o", "%F|%T|%r|%j")
    ended, jobs = _by_id(_of_sacct(told)), _by_id(_of_squeue(known))
    # squeue wins: sacct is late, and remembers the first run of a job that was queued again. What sacct alone takes for
    # alive is not: the controller has lost it in a crash, and told nobody how it ended.
    ended = {job_id: job for job_id, job in ended.items() if not job.alive}
    jobs = {job_id: _with_exit_code(job, ended.get(job_id)) for job_id, job in jobs.items()}
    return Queue(ended | jobs, note, asked)


def _with_exit_code(job: QueuedJob, ended: QueuedJob | None) -> QueuedJob:
    return job if ended is None or job.state != ended.state else replace(job, exit_code=ended.exit_code)


def _by_id(parts: Iterable[QueuedJob]) -> dict[str, QueuedJob]:
    """Each job once; of an array's elements the one that says most: alive before ended, failed before completed."""
    found: dict[str, QueuedJob] = {}
    for job in parts:
        known = found.get(job.job_id)
        if known is None or _weight(job) >= _weight(known):
            found[job.job_id] = job
    return found


def _weight(job: QueuedJob) -> int:
    """Of two equal ones the later line counts: sacct tells a job's runs one after the other."""
    return {"running": 3, "pending": 2, "ended": 1}[job.phase] - (job.state == "COMPLETED")


def _of_sacct(text: str) -> Iterator[QueuedJob]:
    for line in text.splitlines():
        job_id, state, exit_code, name = line.split("|", 3)
        leader, _, component = job_id.partition("+")
        # Of a heterogeneous job the first component is the stage, the others are its servers.
        if component in ("", "0"):
            # `CANCELLED by 1000`
            yield QueuedJob(leader.partition("_")[0], name, state.split(" ", 1)[0], "", exit_code)


def _of_squeue(text: str) -> Iterator[QueuedJob]:
    for line in text.splitlines():
        job_id, state, reason, name = line.split("|", 3)
        yield QueuedJob(job_id, name, state, "" if reason == "None" else reason)


def ask(*command: str) -> str:
    """What a command of Slurm prints; raises SlurmSilentError."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    except FileNotFoundError:
        raise SlurmSilentError(f"there is no {command[0]} here") from None
    except subprocess.TimeoutExpired:
        raise SlurmSilentError(f"{command[0]} has not answered for {_PATIENCE_S} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise SlurmSilentError(f"{command[0]}: {lines[-1] if lines else f'exit status {done.returncode}'}")
    return done.stdout


_REASONS = {
    "Priority": "others go before it",
    "Resources": "waits for free nodes",
    "Dependency": "waits for the stages that it needs",
    "BeginTime": "may start again in some seconds",
    "QOSMaxJobsPerUserLimit": "your QoS runs no more jobs at once",
    "AssocGrpGRES": "the account's GPUs are in use",
    "PartitionTimeLimit": "asks for more time than its partition has: it will never start",
    "PartitionNodeLimit": "asks for more nodes than its partition has: it will never start",
    "ReqNodeNotAvail": "the nodes that it needs are down or reserved",
    "JobHeldUser": "held by its user: `scontrol release` lets it go",
    "JobHeldAdmin": "held by an administrator",
    "launch failed requeued held": "held, since it could not be started: `rung resume` lets it go",
}


def end_in_words(job: QueuedJob) -> str:
    """How a job ended: Slurm's word, and the exit status or signal behind it."""
    status, _, signal = job.exit_code.partition(":")
    if signal not in ("", "0"):
        return f"{job.state}, signal {signal}"
    if not status.isdigit() or status == "0":
        return job.state
    return f"{job.state}, exit status {status}" + (
        f": killed by signal {int(status) - 128}" if int(status) > 128 else ""
    )


def in_words(reason: str) -> str:
    """Why a job waits, with Slurm's own word."""
    plain = reason.split(",", 1)[0]
    return f"{_REASONS[plain]} ({reason})" if plain in _REASONS else reason

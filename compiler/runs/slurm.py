"""Submits a bundle to Slurm through submitit: each stage a job, Slurm's own dependencies, nothing left running here.

Every submission is told to the stage's journal before and after, and the job's name says whose it is. A launcher that
was killed in between finds its job by that name: run again, it submits none twice and forgets none. Its sbatch, which
may outlive it, holds the run's lock until it is done.
"""

import fcntl
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import submitit
from submitit.core.utils import DelayedSubmission

from compiler.job import StageJob, job_name
from compiler.journal import append_event, read_events
from compiler.manifest import Manifest
from compiler.runs.layout import (
    RunJob,
    RunJobs,
    journal_path,
    leg_now,
    log_folder,
    manifest_name,
    read_jobs,
    script_name,
)
from compiler.runs.local import AlreadyRunningError
from compiler.runs.queue import Queue, QueuedJob
from compiler.runs.series import Series, forgotten, last_series
from compiler.runs.status import run_queue

_NO_LIMIT_MIN = 60 * 24 * 365


class RefusedError(RuntimeError):
    """sbatch takes a job not; the message is Slurm's."""


@dataclass(frozen=True)
class Submitted:
    """What one call of `submit_missing` did: label -> job id."""

    new: Mapping[str, str]
    alive: Mapping[str, str]
    """Submitted before, and still waiting or running."""


def submit_missing(run: Path) -> Submitted:
    """Submits every stage that is neither sealed nor alive in Slurm, after those that it needs.

    Raises RefusedError, SlurmSilentError or AlreadyRunningError; what was submitted before stays, another call goes on.
    """
    jobs = read_jobs(run)
    with _sole_launcher(run) as lock:
        queue = run_queue(run) if any(_events(run, job) for job in jobs.jobs) else Queue({})
        _release(run, jobs, queue)
        alive: dict[str, str] = {}
        new: dict[str, str] = {}
        for job in jobs.jobs:
            if not _wanted(job):
                continue
            after = [ids[need] for need in job.needs for ids in (new, alive) if need in ids]
            series = _submission(run, job, queue)
            waiting = [one.job_id for one in series.found(queue, job_name(job.label, run.name)) if one.alive]
            if waiting and not series.after.issuperset(after):
                # They wait for a job that has failed; Slurm takes some seconds to see that they never will start.
                _scancel(waiting)
                waiting = []
            begun = series.job_ids if waiting else ()
            last = begun[-1] if begun else ""
            legs = _legs_to_submit(run, job, begun=bool(begun))
            for number, leg in list(enumerate(legs, start=1))[len(begun) :]:
                last = _submit(run, job, _Link(number, leg), after, last, lock)
            (alive if len(begun) == len(legs) else new)[job.label] = last
    return Submitted(new, alive)


def cancel(run: Path, label: str) -> Mapping[str, str]:
    """Cancels a stage and everything that needs it, or with an empty label all; label -> job id of what was alive."""
    jobs = read_jobs(run)
    queue = run_queue(run)
    doomed = {job.label for job in jobs.jobs} if not label else {label}
    stopped: dict[str, str] = {}
    ids: list[str] = []
    for job in jobs.jobs:
        if doomed.isdisjoint({job.label, *job.needs}):
            continue
        doomed.add(job.label)
        alive = [one for one in _jobs(run, job, queue) if one.alive] if job.action == "run" else []
        if alive:
            stopped[job.label] = alive[0].job_id
            ids += [one.job_id for one in alive]
    if ids:
        _scancel(ids)
    for name, job_id in stopped.items():
        append_event(journal_path(run, name), "cancelled", job_id=job_id, error="cancelled by its user")
    return stopped


def _scancel(ids: Sequence[str]) -> None:
    subprocess.run(["scancel", *ids], check=True, capture_output=True)


def _wanted(job: RunJob) -> bool:
    return job.action == "run" and not (Path(job.artifact) / "artifact.json").is_file()


def _events(run: Path, job: RunJob) -> list[dict[str, Any]]:
    return list(read_events(journal_path(run, job.label)))


def _submission(run: Path, job: RunJob, queue: Queue) -> Series:
    """The stage's last one; a job of one that was cut short is known by its name, and told of now."""
    series = last_series(_events(run, job))
    lost = forgotten(series, queue, job.label, run.name)
    if lost is not None:
        append_event(journal_path(run, job.label), "queued", job_id=lost.job_id)
        series = replace(series, job_ids=(*series.job_ids, lost.job_id))
    return series


def _jobs(run: Path, job: RunJob, queue: Queue) -> Sequence[QueuedJob]:
    """Those of the stage's last submission that Slurm knows."""
    return _submission(run, job, queue).found(queue, job_name(job.label, run.name))


class _Link(NamedTuple):
    """One job of a stage's chain."""

    number: int
    """From 1 on."""
    leg: int
    """From 0 on."""


def _legs_to_submit(run: Path, job: RunJob, *, begun: bool) -> Sequence[int]:
    """The leg of each job of the chain that was begun, or of one that goes on where the stage is."""
    first = last_series(_events(run, job)).first_leg if begun else leg_now(run, job)
    return [leg for leg in range(first, len(job.legs)) for _ in range(job.chain[leg])]


def _release(run: Path, jobs: RunJobs, queue: Queue) -> None:
    """Lets go what Slurm holds since it could not be started, on a disk that was full or read-only, say."""
    if not any(found.held for found in queue.jobs.values()):
        return
    ours = [found for job in jobs.jobs if _wanted(job) for found in _jobs(run, job, queue)]
    held = [found.job_id for found in ours if found.held]
    if held:
        subprocess.run(["scontrol", "release", ",".join(held)], check=False, capture_output=True)


def _submit(run: Path, job: RunJob, link: _Link, after: list[str], before: str, lock: int) -> str:
    """Submits one job of the stage, after those of the stages that it needs and, in a chain, the one before."""
    manifest = Manifest.model_validate_json((run / manifest_name(job.label)).read_bytes())
    folder = log_folder(run, job.label)
    folder.mkdir(parents=True, exist_ok=True)
    stage = StageJob(str(run / manifest_name(job.label)), manifest.placement.threads, "", job.requeues)
    limit_min = job.limit_min or _NO_LIMIT_MIN
    _pickle(stage, folder, limit_min, job.max_timeouts)
    options = list(_options(run, job, link.number, after, before))
    executor = _ScriptExecutor(folder, run / script_name(job.label, link.leg), options, lock, job.max_timeouts)
    # submitit's own pickle, which takes the place of ours, must say the same of limits.
    executor.update_parameters(nodes=1, ntasks_per_node=job.legs[link.leg].ranks, time=limit_min)
    append_event(journal_path(run, job.label), "submitting", number=link.number, leg=link.leg, after=after)
    job_id = str(executor.submit(stage).job_id)
    append_event(journal_path(run, job.label), "queued", job_id=job_id)
    return job_id


def _options(run: Path, job: RunJob, number: int, after: Sequence[str], before: str) -> Iterator[str]:
    conditions = [f"afterok:{':'.join(after)}"] if after else []
    if number > 1:
        # However the one before ended: this one looks at what it left.
        conditions.append(f"afterany:{before}")
        yield f"--job-name={job_name(job.label, run.name, number)}"
    if conditions:
        yield f"--dependency={','.join(conditions)}"
        yield "--kill-on-invalid-dep=yes"


def _pickle(stage: StageJob, folder: Path, limit_min: int, max_timeouts: int) -> None:
    """What the job's script links to: it is there even if this process is killed before submitit renames its own."""
    delayed = DelayedSubmission(stage)
    delayed.set_timeout(limit_min, max_timeouts)
    partial = folder / f"stage.pkl.{os.getpid()}"
    delayed.dump(partial)
    partial.replace(folder / "stage.pkl")


class _ScriptExecutor(submitit.SlurmExecutor):  # type: ignore[misc]
    """submitit's executor with a script of ours: its pickles, requeues and results, our bytes."""

    def __init__(self, folder: Path, script: Path, options: list[str], lock: int, max_timeouts: int) -> None:
        super().__init__(folder, max_num_timeout=max_timeouts)
        self._script, self._options, self._lock = script, options, lock
        # One executor submits one job; submitit's pause between two would be ours to wait.
        self._throttling = 0.0

    def _submit_command(self, command: str) -> Any:
        done = subprocess.run(
            ["sbatch", *self._options, str(self._script)],
            env=_clean(os.environ),
            pass_fds=(self._lock,),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise RefusedError(lines[-1] if lines else f"sbatch ended with {done.returncode}")
        job_id = self._get_job_id_from_submission_command(done.stdout)
        return self.job_class(folder=self.folder, job_id=job_id, tasks=list(range(self._num_tasks())))


def _clean(environment: Mapping[str, str]) -> dict[str, str]:
    """Less what would speak against the script: sbatch obeys SBATCH_* before its file, and a job submitted from inside
    another inherits that one's GPUs."""
    return {
        name: value
        for name, value in environment.items()
        if name == "SLURM_CONF" or not name.startswith(("SBATCH_", "SLURM_", "SLURMD_", "SRUN_"))
    }


@contextmanager
def _sole_launcher(run: Path) -> Iterator[int]:
    """The lock's descriptor: who inherits it keeps the lock."""
    with (run / "launcher.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(f"run {run.name} is being submitted by another command") from None
        yield lock.fileno()

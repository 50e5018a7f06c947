"""Submits a bundle to Slurm through submitit: each stage a job, Slurm's own dependencies, nothing left running here.

Every submission is told to the stage's journal before and after, and the job's name says whose it is. A launcher that
was killed in between finds its job by that name: run again, it submits none twice and forgets none. Its sbatch, which
may outlive it, holds the run's lock until it is done.
"""

import fcntl
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import DelayedSubmission

from compiler.job import StageJob
from compiler.journal import append_event, read_events
from compiler.manifest import Manifest
from compiler.runs.layout import RunJob, journal_path, log_folder, manifest_name, read_jobs, script_name
from compiler.runs.local import AlreadyRunningError
from compiler.runs.queue import Queue, QueuedJob, read_queue
from compiler.runs.script import job_name

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
        queue = read_queue(_began(run)) if any(_events(run, job) for job in jobs.jobs) else Queue({})
        alive: dict[str, str] = {}
        new: dict[str, str] = {}
        for job in jobs.jobs:
            if not _wanted(job):
                continue
            found = _found(run, job, queue)
            if found is not None:
                alive[job.label] = found.job_id
                continue
            after = [ids[need] for need in job.needs for ids in (new, alive) if need in ids]
            new[job.label] = _submit(run, job, after, lock)
    return Submitted(new, alive)


def cancel(run: Path, label: str) -> Mapping[str, str]:
    """Cancels a stage and everything that needs it, or with an empty label all; label -> job id of what was alive."""
    jobs = read_jobs(run)
    queue = read_queue(_began(run))
    doomed = {job.label for job in jobs.jobs} if not label else {label}
    stopped: dict[str, str] = {}
    for job in jobs.jobs:
        if doomed.isdisjoint({job.label, *job.needs}):
            continue
        doomed.add(job.label)
        found = _found(run, job, queue) if job.action == "run" else None
        if found is not None:
            stopped[job.label] = found.job_id
    if stopped:
        subprocess.run(["scancel", *stopped.values()], check=True, capture_output=True)
    for name, job_id in stopped.items():
        append_event(journal_path(run, name), "cancelled", job_id=job_id, error="cancelled by its user")
    return stopped


def _wanted(job: RunJob) -> bool:
    return job.action == "run" and not (Path(job.artifact) / "artifact.json").is_file()


def _events(run: Path, job: RunJob) -> list[dict[str, Any]]:
    return list(read_events(journal_path(run, job.label)))


def _began(run: Path) -> float:
    return (run / "jobs.json").stat().st_mtime - 60


def _found(run: Path, job: RunJob, queue: Queue) -> QueuedJob | None:
    """The stage's job, if it is alive; a submission that was cut short is known by its name."""
    told = [event for event in _events(run, job) if event["event"] in ("submitting", "queued")]
    if not told:
        return None
    if told[-1]["event"] == "submitting":
        known = {str(event.get("job_id")) for event in told}
        found = queue.named(job_name(run, job.label))
        if found is None or found.job_id in known:
            return None
        append_event(journal_path(run, job.label), "queued", job_id=found.job_id)
    else:
        found = queue.jobs.get(str(told[-1]["job_id"]))
    return found if found is not None and found.alive else None


def _submit(run: Path, job: RunJob, after: list[str], lock: int) -> str:
    manifest = Manifest.model_validate_json((run / manifest_name(job.label)).read_bytes())
    folder = log_folder(run, job.label)
    folder.mkdir(parents=True, exist_ok=True)
    stage = StageJob(str(run / manifest_name(job.label)), manifest.placement.threads, "")
    _pickle(stage, folder, job.limit_min or _NO_LIMIT_MIN, job.max_timeouts)
    options = [f"--dependency=afterok:{':'.join(after)}", "--kill-on-invalid-dep=yes"] if after else []
    executor = _ScriptExecutor(folder, run / script_name(job.label), options, lock)
    executor.update_parameters(nodes=1, ntasks_per_node=job.ranks)
    append_event(journal_path(run, job.label), "submitting")
    job_id = str(executor.submit(stage).job_id)
    append_event(journal_path(run, job.label), "queued", job_id=job_id)
    return job_id


def _pickle(stage: StageJob, folder: Path, limit_min: int, max_timeouts: int) -> None:
    """What the job's script links to: it is there even if this process is killed before submitit renames its own."""
    delayed = DelayedSubmission(stage)
    delayed.set_timeout(limit_min, max_timeouts)
    partial = folder / f"stage.pkl.{os.getpid()}"
    delayed.dump(partial)
    partial.replace(folder / "stage.pkl")


class _ScriptExecutor(submitit.SlurmExecutor):  # type: ignore[misc]
    """submitit's executor with a script of ours: its pickles, requeues and results, our bytes."""

    def __init__(self, folder: Path, script: Path, options: list[str], lock: int) -> None:
        super().__init__(folder)
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

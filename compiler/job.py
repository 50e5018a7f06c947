"""What submitit pickles: a tiny frozen value that names a manifest. The truth stays in JSON."""

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission


@dataclass(frozen=True)
class StageJob:
    """One attempt at one stage; called on every rank."""

    manifest: str
    threads: int
    attempt: str
    """Unique to this submission and shared by its ranks; empty in Slurm, where the job says it."""
    requeues: bool = True
    """Whether Slurm may queue it again; where not, the next job of its chain goes on."""

    def __call__(self) -> None:
        """Runs the worker in this process. The runtime is imported by name: the compiler does not depend on it."""
        os.environ["OMP_NUM_THREADS"] = str(self.threads)
        import submitit

        environment = submitit.JobEnvironment()
        worker = importlib.import_module("runtime.worker")
        worker.work(
            Path(self.manifest),
            rank=environment.global_rank,
            world_size=environment.num_tasks,
            attempt=self.attempt or _attempt_in_slurm(),
            shard=int(os.environ["SLURM_ARRAY_TASK_ID"]) if "SLURM_ARRAY_TASK_ID" in os.environ else None,
            requeues=self.requeues,
            follows=is_later(os.environ.get("SLURM_JOB_NAME", "")),
        )

    def checkpoint(self) -> "DelayedSubmission":
        """What submitit queues again after a preemption or a time limit: the same, it resumes from its scratch.

        Raises SystemExit where nothing may be queued again: the job makes room for the next one.
        """
        from submitit.helpers import DelayedSubmission

        if not self.requeues:
            raise SystemExit("ended by a time limit or a preemption; the next job of the stage goes on")
        return DelayedSubmission(self)


def job_name(label: str, run: str, number: int = 1) -> str:
    """What Slurm calls a job: it tells the stage to people, and to us whose submission it was. `number`: in its
    chain."""
    return f"{label}@{run}" + (f"#{number}" if number > 1 else "")


def is_later(name: str) -> bool:
    """Whether a job of this name follows another one of its stage."""
    return "#" in name


def _attempt_in_slurm() -> str:
    """A job that is queued again keeps its id, and counts its starts."""
    return f"slurm-{os.environ['SLURM_JOB_ID']}-{os.environ.get('SLURM_RESTART_COUNT', '0')}"

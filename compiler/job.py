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
        )

    def checkpoint(self) -> "DelayedSubmission":
        """What submitit queues again after a preemption or a time limit: the same, it resumes from its scratch."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _attempt_in_slurm() -> str:
    """A job that is queued again keeps its id, and counts its starts."""
    return f"slurm-{os.environ['SLURM_JOB_ID']}-{os.environ.get('SLURM_RESTART_COUNT', '0')}"

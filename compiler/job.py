"""What submitit pickles: a tiny frozen value that names a manifest. The truth stays in JSON."""

import importlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StageJob:
    """One attempt at one stage; called on every rank."""

    manifest: str
    threads: int
    attempt: str
    """Unique to this submission and shared by its ranks."""

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
            attempt=self.attempt,
        )

"""The jobs of a stage's last submission, as its journal tells: one, or a chain of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compiler.job import job_name
from compiler.runs.queue import Queue, QueuedJob


@dataclass(frozen=True)
class Series:
    """What the launcher told of them."""

    job_ids: tuple[str, ...]
    """In the order of the chain; none where the stage was never submitted."""
    cut_short: bool
    """Whether a submission was begun of which nobody knows how it ended."""
    known: frozenset[str]
    """Of every submission of this stage."""
    told: float
    """Unix time of the last word."""
    after: frozenset[str] = frozenset()
    """Ids of jobs of the stages that this one needs: those that its jobs wait for."""
    first_leg: int = 0
    """Of the stage, that its first job makes."""

    def found(self, queue: Queue, name: str) -> Sequence[QueuedJob]:
        """Those of them that Slurm knows, in their order. `name`: of the first of them."""
        jobs = (queue.find(job_id, name) for job_id in self.job_ids)
        return [job for job in jobs if job is not None]


def last_series(events: Sequence[Mapping[str, Any]]) -> Series:
    """Of a stage's events."""
    job_ids: list[str] = []
    known: set[str] = set()
    after: frozenset[str] = frozenset()
    cut_short, told, first_leg = False, 0.0, 0
    for event in events:
        if event["event"] == "submitting":
            cut_short, told, after = True, event["time"], frozenset(event.get("after", ()))
            if event.get("number", 1) == 1:
                job_ids, first_leg = [], event.get("leg", 0)
        elif event["event"] == "queued":
            cut_short, told = False, event["time"]
            job_ids.append(str(event.get("job_id")))
            known.add(job_ids[-1])
    return Series(tuple(job_ids), cut_short, frozenset(known), told, after, first_leg)


def at_work(jobs: Sequence[QueuedJob]) -> QueuedJob | None:
    """The one of a series that says how the stage is: what runs, else what waits first, else what ended last."""
    for phase in ("running", "pending"):
        for job in jobs:
            if job.phase == phase:
                return job
    return jobs[-1] if jobs else None


def forgotten(series: Series, queue: Queue, label: str, run: str) -> QueuedJob | None:
    """The job of a submission that was cut short, if it reached Slurm: nobody but its name tells."""
    if not series.cut_short:
        return None
    found = queue.named(job_name(label, run, len(series.job_ids) + 1))
    return None if found is None or found.job_id in series.known else found

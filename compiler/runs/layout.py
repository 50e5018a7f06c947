"""What lies where in a run directory, and the list of its jobs."""

from pathlib import Path
from typing import Literal

from compiler.legs import Leg, leg_at, steps_done
from compiler.manifest import Manifest
from compiler.schema.base import Record

JOBS = "jobs.json"
PLAN = "plan.json"


class RunJob(Record):
    """One stage of a run, as the launcher sees it."""

    label: str
    kind: str
    action: Literal["run", "reuse", "skip"]
    reason: str
    same_as: str
    """The label under which it is computed; its own, unless two stages are the same."""
    needs: tuple[str, ...]
    artifact: str
    legs: tuple[Leg, ...]
    """More than one where its ranks change as it goes on."""
    cores: int
    """Of the leg with most ranks."""
    urgency: float
    planned_s: float
    limit_min: int = 0
    """On Slurm: minutes after which the job is ended and queued again; 0 where no limit is known."""
    max_timeouts: int = 0
    """On Slurm: so often that may happen."""
    requeues: bool = True
    """On Slurm: whether the job may be queued again."""
    chain: tuple[int, ...] = (1,)
    """On Slurm: jobs of each leg, one after the other; more than one where none may be queued again."""
    memory_bytes: int = 0
    """Here: what its ranks hold at their peak; 0 where nobody knows."""

    @property
    def ranks(self) -> int:
        """Of the leg that has most."""
        return max(leg.ranks for leg in self.legs)


class RunJobs(Record):
    """`jobs.json`: every stage of the run, in topological order."""

    name: str
    cluster: str
    cores: int
    memory_bytes: int = 0
    """Of the machine; 0 is no limit."""
    executor: Literal["local", "slurm"] = "local"
    jobs: tuple[RunJob, ...]


def read_jobs(run: Path) -> RunJobs:
    """The job list of a run directory."""
    return RunJobs.model_validate_json((run / JOBS).read_bytes())


def manifest_name(label: str) -> str:
    """The manifest of a stage, relative to the run directory."""
    return f"manifests/{label}.json"


def script_name(label: str, leg: int = 0) -> str:
    """The sbatch script of a leg of a stage, relative to the run directory. Legs are counted from 0, for people from
    1."""
    return f"jobs/{label}.{leg + 1}.sh" if leg else f"jobs/{label}.sh"


def leg_now(run: Path, job: RunJob) -> int:
    """Number of the leg that a stage of this run is at."""
    if len(job.legs) == 1:
        return 0
    manifest = Manifest.model_validate_json((run / manifest_name(job.label)).read_bytes())
    return leg_at(job.legs, steps_done(Path(manifest.scratch)))


def journal_path(run: Path, label: str) -> Path:
    """The event log of a stage."""
    return run / "journal" / f"{label}.jsonl"


def log_folder(run: Path, label: str) -> Path:
    """submitit's folder of a stage: pickles, stdout and stderr of each rank."""
    return run / "logs" / label


def find_run(store: Path, name: str) -> Path | None:
    """A run directory by its id, by an unambiguous beginning of it, or `latest`; a path to one works too."""
    if (Path(name) / JOBS).is_file():
        return Path(name)
    runs = sorted(path for path in (store / "runs").glob("*") if (path / JOBS).is_file())
    if name == "latest":
        return max(runs, key=lambda path: (path / JOBS).stat().st_mtime_ns, default=None)
    matches = [path for path in runs if path.name.startswith(name)]
    exact = [path for path in matches if path.name == name]
    return exact[0] if exact else matches[0] if len(matches) == 1 else None

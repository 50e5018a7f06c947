"""What lies where in a run directory, and the list of its jobs."""

from pathlib import Path
from typing import Literal

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
    ranks: int
    cores: int
    urgency: float
    planned_s: float
    limit_min: int = 0
    """On Slurm: minutes after which the job is ended and queued again; 0 where no limit is known."""
    max_timeouts: int = 0
    """On Slurm: so often that may happen."""
    requeues: bool = True
    """On Slurm: whether the job may be queued again."""
    chain: int = 1
    """On Slurm: jobs of this stage, one after the other, where none may be queued again."""
    memory_bytes: int = 0
    """Here: what its ranks hold at their peak; 0 where nobody knows."""


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


def script_name(label: str) -> str:
    """The sbatch script of a stage, relative to the run directory."""
    return f"jobs/{label}.sh"


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

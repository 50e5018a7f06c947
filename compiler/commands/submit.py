"""`rung submit`: a spec's stages as jobs on Slurm; nothing stays behind but the jobs."""

import argparse
import json
from pathlib import Path

from compiler.commands.mistakes import UserError
from compiler.commands.plan import show_plan
from compiler.pipeline import compile_plan, create_run
from compiler.plan import Plan
from compiler.runs.layout import RunJobs, read_jobs
from compiler.runs.local import AlreadyRunningError
from compiler.runs.queue import SlurmSilentError
from compiler.runs.status import current_status
from compiler.terminal.console import console


def run(arguments: argparse.Namespace) -> int:
    """Plans, writes the run directory and submits it; a submission that was cut short is completed."""
    plan = compile_plan(
        arguments.spec, arguments.overrides, cluster=arguments.cluster, store=arguments.store, runnable=True
    )
    if plan.cluster.executor != "slurm":
        raise UserError(f"{plan.cluster.name} is no Slurm cluster: write `rung run`, or name one with --cluster")
    directory = _begun(plan, arguments.store) or create_run(plan, arguments.spec, store=arguments.store)
    if not arguments.json:
        show_plan(plan)
    return hand_over(directory, as_json=arguments.json)


def hand_over(run: Path, *, as_json: bool) -> int:
    """Submits what is neither sealed nor waiting nor running, and says so."""
    # submitit takes a tenth of a second to load, which a command that is refused need not wait for.
    from compiler.runs.slurm import RefusedError, submit_missing

    try:
        submitted = submit_missing(run)
    except (SlurmSilentError, RefusedError) as error:
        raise UserError(
            f"{error}\nwhat was submitted before stays; when it is mended: rung resume {run.name}"
        ) from None
    except AlreadyRunningError as error:
        raise UserError(str(error)) from None
    if as_json:
        state = current_status(run).state
        print(json.dumps({"run": run.name, "state": state, "submitted": submitted.new, "alive": submitted.alive}))
        return 0
    kept = f", {len(submitted.alive)} submitted before" if submitted.alive else ""
    console().print(f"run {run.name}: {len(submitted.new)} jobs submitted{kept}", highlight=False)
    console().print(f"  rung status {run.name}\n  rung watch {run.name}", highlight=False)
    return 0


def _begun(plan: Plan, store: Path) -> Path | None:
    """The latest run of this very plan that has not ended: what was cut short is that one, and no second one."""
    runs = [path for path in (store / "runs").glob("*") if (path / "jobs.json").is_file()]
    for run in sorted(runs, key=lambda path: (path / "jobs.json").stat().st_mtime_ns, reverse=True):
        jobs = read_jobs(run)
        if jobs.cluster == plan.cluster.name and _artifacts(jobs) >= _to_make(plan):
            return run if current_status(run).state in ("waiting", "running") else None
    return None


def _artifacts(jobs: RunJobs) -> set[str]:
    return {Path(job.artifact).name for job in jobs.jobs if job.action == "run"}


def _to_make(plan: Plan) -> set[str]:
    return {stage.fingerprint for stage in plan.to_run}

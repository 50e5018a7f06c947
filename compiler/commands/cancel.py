"""`rung cancel`: a run on Slurm, or one of its stages with everything that needs it."""

import argparse
import json

from compiler.commands.mistakes import UserError
from compiler.commands.past_runs import named_run
from compiler.errors import did_you_mean
from compiler.runs.layout import read_jobs
from compiler.runs.queue import SlurmSilentError


def run(arguments: argparse.Namespace) -> int:
    """Cancels what still waits or runs; what is sealed stays."""
    from compiler.runs.slurm import cancel

    directory = named_run(arguments)
    jobs = read_jobs(directory)
    if jobs.executor != "slurm":
        raise UserError(f"run {directory.name} runs on this machine: press Ctrl-C where `rung run` runs")
    labels = [job.label for job in jobs.jobs]
    if arguments.stage and arguments.stage not in labels:
        raise UserError(
            f"run {directory.name} has no stage {arguments.stage!r}; {did_you_mean(arguments.stage, labels)}"
        )
    try:
        stopped = cancel(directory, arguments.stage)
    except SlurmSilentError as error:
        raise UserError(f"Slurm does not answer: {error}") from None
    if arguments.json:
        print(json.dumps({"run": directory.name, "cancelled": stopped}))
    else:
        print(
            "\n".join(f"cancelled {label} (job {job_id})" for label, job_id in stopped.items()) or "nothing was alive"
        )
    return 0

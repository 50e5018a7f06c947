"""`rung resume`: a run that was interrupted or failed goes on, where it began: here or on Slurm."""

import argparse

from compiler.commands.past_runs import named_run
from compiler.commands.run import go
from compiler.commands.submit import hand_over
from compiler.runs.layout import read_jobs


def run(arguments: argparse.Namespace) -> int:
    """Runs what is not sealed yet."""
    directory = named_run(arguments)
    if read_jobs(directory).executor == "slurm":
        return hand_over(directory, as_json=arguments.json)
    return go(directory, as_json=arguments.json)

"""`rung logs`: what a stage printed."""

import argparse
import sys

from compiler.commands.mistakes import UserError
from compiler.commands.past_runs import named_run
from compiler.errors import did_you_mean
from compiler.runs.layout import log_folder, read_jobs


def run(arguments: argparse.Namespace) -> int:
    """Prints the logs of one rank, one attempt after the other."""
    directory = named_run(arguments)
    labels = [job.label for job in read_jobs(directory).jobs]
    if arguments.stage not in labels:
        hint = did_you_mean(arguments.stage, labels)
        raise UserError(f"run {directory.name} has no stage {arguments.stage!r}; {hint}")
    files = sorted(
        log_folder(directory, arguments.stage).glob(f"*_{arguments.rank}_log.out"),
        key=lambda file: file.stat().st_mtime_ns,
    )
    if not files:
        raise UserError(f"stage {arguments.stage} of run {directory.name} has no log of rank {arguments.rank}")
    for file in files:
        sys.stdout.write(file.read_text(encoding="utf-8", errors="replace"))
    return 0

"""The past run that a command line names."""

import argparse
from pathlib import Path

from pydantic import ValidationError

from compiler.commands.mistakes import UserError
from compiler.errors import did_you_mean
from compiler.runs.layout import find_run, read_jobs


def named_run(arguments: argparse.Namespace) -> Path:
    """The directory of the run that the arguments `run` and `store` name."""
    run = find_run(arguments.store, arguments.run)
    if run is None:
        names = [path.name for path in (arguments.store / "runs").glob("*")]
        raise UserError(f"no run {arguments.run!r} under {arguments.store}; {did_you_mean(arguments.run, names)}")
    try:
        read_jobs(run)
    except ValidationError:
        raise UserError(
            f"run {run.name} was written by another version of rung, and this one cannot read it; a new run of its "
            "recipe reuses what it has sealed"
        ) from None
    return run

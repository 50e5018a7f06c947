"""`rung probe`: a live Slurm, as a cluster file."""

import argparse
from pathlib import Path

from compiler.commands.mistakes import UserError
from compiler.runs.probe import cluster_file, probe
from compiler.runs.queue import SlurmSilentError


def run(arguments: argparse.Namespace) -> int:
    """Prints the file, or writes it where there is none yet."""
    try:
        text = cluster_file(probe())
    except SlurmSilentError as error:
        raise UserError(f"Slurm does not answer: {error}") from None
    out: Path | None = arguments.out
    if out is None:
        print(text, end="")
        return 0
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror}") from None
    print(f"{out}: mend the lines marked FILL IN, then `rung plan SPEC --cluster {out}`")
    return 0

"""`rung probe`: a live Slurm, as a cluster file; or how fast this machine is."""

import argparse
import os
import platform
from pathlib import Path

from compiler.commands.mistakes import UserError
from compiler.planning.machine import machines_folder, write_machine
from compiler.runs.probe import cluster_file, probe
from compiler.runs.queue import SlurmSilentError
from compiler.runs.speed import SpeedError, measure


def run(arguments: argparse.Namespace) -> int:
    """Prints the file, or writes it where there is none yet; with --here keeps the speed among the user's settings."""
    if arguments.here:
        return _measure_here()
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


def _measure_here() -> int:
    cores = len(os.sched_getaffinity(0))
    folder = machines_folder(os.environ)
    try:
        speed = measure(cores)
        file = write_machine(speed, folder, platform.node())
    except SpeedError as error:
        raise UserError(f"this machine cannot be measured: {error}") from None
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}") from None
    print(f"{cores} cores at once, each:")
    print(f"  training    {speed.training_flops / 1e9:5.0f} GFLOP/s and {speed.step_s * 1e3:.0f} ms a step")
    print(f"  generating  {speed.generation_flops / 1e9:5.0f} GFLOP/s and {speed.token_s * 1e3:.1f} ms a token")
    print(f"  rows        {speed.rows_per_s:5,.0f} a second")
    print(f"  start-up    {speed.start_up_s:5.1f} s, with the engine {speed.engine_start_up_s:.1f} s")
    print(f"{file}: plans on a local cluster rest on it from now on")
    return 0

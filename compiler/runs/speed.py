"""Measures this machine: as many processes at once as it has cores, each timing what stages do."""

import json
import os
import platform
import resource
import subprocess
import sys
from statistics import median
from typing import Any

from compiler.planning.machine import speed_of
from compiler.schema.cluster import CpuSpeed


class SpeedError(RuntimeError):
    """Nothing could be measured; the last line of what the measuring process said."""


def measure(cores: int) -> CpuSpeed:
    """One core's speed while the others are busy, too; raises SpeedError (where the `train` extra is missing, say)."""
    start_up_s = _start_up_s()
    command = [sys.executable, "-P", "-m", "runtime.speed"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    at_work = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(cores)
    ]
    told = [process.communicate() for process in at_work]
    if any(process.returncode for process in at_work):
        errors = [error.strip().splitlines() for _, error in told if error.strip()]
        raise SpeedError(errors[0][-1] if errors else "the measuring process ended without a word")
    speeds = [speed_of(json.loads(out.splitlines()[-1]), start_up_s=start_up_s) for out, _ in told]
    figures = {name: median(getattr(one, name) for one in speeds) for name in CpuSpeed.model_fields if name != "host"}
    return CpuSpeed(**figures, host=platform.node())


def _start_up_s() -> float:
    """CPU seconds of a job that does nothing but begin."""
    before = _children_s()
    begun: Any = subprocess.run(
        [sys.executable, "-P", "-c", "import submitit, compiler.job, runtime.worker"],
        check=False,
        capture_output=True,
        text=True,
    )
    if begun.returncode:
        raise SpeedError(begun.stderr.strip().splitlines()[-1])
    return _children_s() - before


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime

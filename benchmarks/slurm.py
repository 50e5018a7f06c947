"""Submission speed: `rung submit` of N stages to a real Slurm, against the same N calls of sbatch alone.

    python -P benchmarks/submission.py [--stages 1000]

The Slurm is the tests' own, on loopback; its partition is closed meanwhile, so that only submission is measured. Half
of the stages need another. The floor is `sbatch` by itself for each job, with the same dependencies and a one-line
script.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]


def _load(name: str) -> ModuleType:
    """A module of tests/slurm, which is no package that could be imported from here."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / "slurm" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, default=1000, metavar="N")
    count = parser.parse_args().stages
    loopback, cases = _load("loopback"), _load("cases")
    if reason := loopback.missing():
        raise SystemExit(reason)
    with loopback.Loopback(Path(tempfile.mkdtemp(prefix="rung-"))) as slurm:
        os.environ.update(slurm.environment)
        slurm.run("scontrol", "update", "partitionname=main", "state=down")
        folder = Path(tempfile.mkdtemp())
        began = time.monotonic()
        cases.submit(cases.chains(folder, count // 2), folder / "store")
        ours = time.monotonic() - began
        slurm.run("scancel", "--me")
        floor = _floor(folder, count)
        slurm.run("scancel", "--me")
    print(f"{count} jobs, half of which need another: rung submit {ours:.1f} s, sbatch alone {floor:.1f} s, "
          f"{ours / floor:.2f} times the floor")  # fmt: skip


def _floor(folder: Path, count: int) -> float:
    script = folder / "job.sh"
    script.write_text("#!/bin/sh\ntrue\n", encoding="utf-8")
    began = time.monotonic()
    before = ""
    for number in range(count):
        after = [f"--dependency=afterok:{before}"] if number % 2 else []
        command = ["sbatch", "--parsable", "--output=/dev/null", *after, str(script)]
        before = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return time.monotonic() - began


if __name__ == "__main__":
    main()

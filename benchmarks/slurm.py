"""What `rung submit` and `rung watch` take of a Slurm, against sbatch by hand in the same run.

    python -P benchmarks/slurm.py [--stages 1000] [--pairs 20] [--watch 60]

The Slurm is the tests' own, on loopback. Three figures:

submission  seconds of submitting N stages, half of which need another, while nothing starts; the floor is sbatch by
            itself for each job, with the same dependencies and a one-line script
hand-over   seconds from the end of a stage's work to the start of its dependent's: median over pairs; by hand a pair is
            two sbatch scripts that each start a Python with srun and look at the clock
polling     commands of Slurm that `rung watch` gives in a minute, for a run of two stages and for one of N
"""

import argparse
import importlib.util
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

from compiler.journal import read_events
from compiler.runs.layout import journal_path

ROOT = Path(__file__).parents[1]
_COMMANDS = ("squeue", "sacct", "scontrol", "sinfo", "sbatch", "scancel")
_NOBODY_STARTS = ("scontrol", "update", "partitionname=main", "state=down")
_ALL_START = ("scontrol", "update", "partitionname=main", "state=up")


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
    parser.add_argument("--pairs", type=int, default=20, metavar="N")
    parser.add_argument("--watch", type=float, default=60, metavar="SECONDS")
    arguments = parser.parse_args()
    loopback, cases = _load("loopback"), _load("cases")
    if reason := loopback.missing():
        raise SystemExit(reason)
    # As many cores as there are, so that what is measured is not the interpreters' crowding.
    cpus = len(os.sched_getaffinity(0))
    with loopback.Loopback(Path(tempfile.mkdtemp(prefix="rung-")), nodes=1, cpus=cpus) as slurm:
        os.environ.update(slurm.environment)
        folder = Path(tempfile.mkdtemp())
        _submission(slurm, cases, folder, arguments.stages, arguments.watch)
        _hand_over(slurm, cases, folder, arguments.pairs)


def _submission(slurm: Any, cases: ModuleType, folder: Path, count: int, watch_s: float) -> None:
    slurm.run(*_NOBODY_STARTS)
    began = time.monotonic()
    cases.submit(cases.chains(folder, count // 2), folder / "many")
    ours = time.monotonic() - began
    many = _commands_of_watch(folder / "many", folder, watch_s)
    slurm.run("scancel", "--me")
    cases.submit(cases.chains(folder, 1), folder / "few")
    few = _commands_of_watch(folder / "few", folder, watch_s)
    slurm.run("scancel", "--me")
    began = time.monotonic()
    _by_hand(folder, [_script(folder / "true.sh", "true")] * count)
    floor = time.monotonic() - began
    slurm.run("scancel", "--me")
    slurm.run(*_ALL_START)
    print(f"submission: {count} stages in {ours:.1f} s; sbatch alone {floor:.1f} s; ratio {ours / floor:.2f}")
    print(f"polling: rung watch gives Slurm {many:.0f} commands a minute for {count} stages, {few:.0f} for 2")


def _hand_over(slurm: Any, cases: ModuleType, folder: Path, pairs: int) -> None:
    store = folder / "pairs"
    run = store / "runs" / cases.submit(cases.chains(folder, pairs), store)["run"]
    cases.until_ended(run.name, store)
    ours = []
    for number in range(pairs):
        first = {event["event"]: event for event in read_events(journal_path(run, f"prompts_{number}"))}
        second = {event["event"]: event for event in read_events(journal_path(run, f"answers_{number}"))}
        ours.append(second["started"]["time"] - first["sealed"]["time"])
    look = f"srun {shlex.quote(sys.executable)} -P -c 'import time; print(time.time())' >> {folder}/clock-$SLURM_JOB_ID"
    job_ids = _by_hand(folder, [_script(folder / "look.sh", look)] * (2 * pairs))
    while slurm.run("squeue", "--me", "-h").strip():
        time.sleep(0.2)
    clocks = [float((folder / f"clock-{job_id}").read_text()) for job_id in job_ids]
    floor = [second - first for first, second in zip(clocks[::2], clocks[1::2], strict=True)]
    print(
        f"hand-over: {median(ours):.2f} s from a stage's seal to its dependent's start; by hand {median(floor):.2f} s; "
        f"ratio {median(ours) / median(floor):.2f} (medians of {pairs} pairs)"
    )


def _script(file: Path, line: str) -> Path:
    file.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    return file


def _by_hand(folder: Path, scripts: Sequence[Path]) -> list[str]:
    """Ids of jobs, every second of which needs the one before."""
    job_ids: list[str] = []
    for number, script in enumerate(scripts):
        after = [f"--dependency=afterok:{job_ids[-1]}"] if number % 2 else []
        command = ["sbatch", "--parsable", "--output=/dev/null", *after, str(script)]
        job_ids.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    return job_ids


def _commands_of_watch(store: Path, folder: Path, seconds: float) -> float:
    """Commands a minute, counted by programs of the same names that stand before Slurm's own."""
    before, log = folder / "bin", folder / "commands"
    before.mkdir(exist_ok=True)
    log.write_text("")
    path = os.environ["PATH"]
    for name in _COMMANDS:
        program = _script(before / name, f'echo {name} >> {log}\nPATH={shlex.quote(path)} exec {name} "$@"')
        program.chmod(0o755)
    watch = subprocess.Popen(
        [sys.executable, "-P", "-m", "compiler", "watch", "--store", str(store)],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{before}:{path}"},
        stdout=subprocess.DEVNULL,
    )
    time.sleep(seconds)
    watch.terminate()
    watch.wait()
    return len(log.read_text().split()) * 60 / seconds


if __name__ == "__main__":
    main()

"""Rows per second that the driver of served models takes by itself, against a local server that answers at once.

    python -P benchmarks/driver.py [--rows N] [--venv DIR]

Beside it, in the same run, distilabel 1.5.3 asking the same server by its OpenAI client: installed into a virtual
environment that is thrown away afterwards, or into DIR, where it is found again. Each is run at two sizes; start-up is
what is left of the time at no rows.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ROOT / "tests" / "runtime" / "clients"
PEER = ("distilabel==1.5.3", "openai>=1.60,<3", "requests>=2.31,<3")


class Taken(NamedTuple):
    wall_s: float
    cpu_s: float
    """Of the program and its children."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--venv", type=Path)
    arguments = parser.parse_args()
    server = subprocess.Popen([sys.executable, "-P", str(PROGRAMS / "instant.py")], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
    try:
        print(f"{'':26}{'rows':>8}{'wall s':>9}{'cpu s':>8}{'rows/s':>9}{'cpu µs/row':>12}{'start-up s':>12}")
        for concurrency in (64, 512):
            show(f"rung, {concurrency} in flight", ours(url, concurrency), arguments.rows)
        with tempfile.TemporaryDirectory() as folder:
            python = peer(arguments.venv or Path(folder) / "venv")
            if isinstance(python, str):
                print(f"distilabel: left out, {python}")
            else:
                show("distilabel 1.5.3", lambda rows: run([str(python), str(ROOT / PEER_FILE), url, str(rows)]), 2_000)
    finally:
        server.kill()
        server.wait()
    return 0


PEER_FILE = Path("benchmarks") / "driver_distilabel.py"


def ours(url: str, concurrency: int) -> Callable[[int], Taken]:
    def measure(rows: int) -> Taken:
        with tempfile.TemporaryDirectory() as home:
            return run(
                [sys.executable, "-P", str(PROGRAMS / "asking.py"), home, url, str(rows), str(concurrency)],
                PYTHONPATH=str(ROOT),
            )

    return measure


def show(name: str, measure: Callable[[int], Taken], rows: int) -> None:
    """Two sizes, so that what a row takes is told apart from what starting takes."""
    few, many = rows // 4, rows
    small, large = measure(few), measure(many)
    row = Taken(*((big - little) / (many - few) for big, little in zip(large, small, strict=True)))
    start_up = large.cpu_s - row.cpu_s * many
    print(
        f"{name:26}{many:8,}{large.wall_s:9.1f}{large.cpu_s:8.1f}{1 / row.wall_s:9,.0f}{row.cpu_s * 1e6:12,.0f}"
        f"{start_up:12.1f}"
    )


def run(command: Sequence[str], **environment: str) -> Taken:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return Taken(wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def peer(venv: Path) -> Path | str:
    """Python of an environment with distilabel, or why there is none."""
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    told = subprocess.run(
        [str(python), "-m", "pip", "install", "-q", *PEER], capture_output=True, text=True, check=False
    )
    if told.returncode:
        return (told.stderr.strip().splitlines() or ["pip failed"])[-1]
    return python


if __name__ == "__main__":
    sys.exit(main())

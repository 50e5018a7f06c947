"""`python -P -m runtime MANIFEST`: any stage by hand, without Slurm. A stage of several ranks starts them all here."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from compiler.manifest import Manifest


def main() -> int:
    """Runs the stage of one manifest; with --rank as one of its ranks, without as all of them."""
    parser = argparse.ArgumentParser(prog="python -P -m runtime", description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--rank", type=int)
    parser.add_argument("--attempt", default=f"hand-{os.getpid()}-{time.time_ns()}")
    arguments = parser.parse_args()
    placement = Manifest.model_validate_json(arguments.manifest.read_bytes()).placement
    os.environ["OMP_NUM_THREADS"] = str(placement.threads)
    world_size = placement.layout.world_size
    if arguments.rank is None and world_size > 1:
        return _start_all(arguments.manifest, world_size, arguments.attempt)
    from runtime.worker import work

    work(arguments.manifest, rank=arguments.rank or 0, world_size=world_size, attempt=arguments.attempt)
    return 0


def _start_all(manifest: Path, world_size: int, attempt: str) -> int:
    command = [sys.executable, "-P", "-m", "runtime", str(manifest), "--attempt", attempt]
    ranks = [subprocess.Popen([*command, "--rank", str(rank)]) for rank in range(world_size)]
    return max(process.wait() for process in ranks)


if __name__ == "__main__":
    sys.exit(main())

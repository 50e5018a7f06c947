"""`python -P -m runtime MANIFEST`: any stage by hand, without Slurm. A stage of several ranks starts them all here."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from compiler.legs import leg_of
from compiler.manifest import Manifest


def main() -> int:
    """Runs the stage of one manifest; with --rank as one of its ranks, without as all of them."""
    parser = argparse.ArgumentParser(prog="python -P -m runtime", description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--rank", type=int)
    parser.add_argument("--ranks", type=int, help="of this job; those that the stage goes on with where absent")
    parser.add_argument("--attempt", default=f"hand-{os.getpid()}-{time.time_ns()}")
    arguments = parser.parse_args()
    manifest = Manifest.model_validate_json(arguments.manifest.read_bytes())
    os.environ["OMP_NUM_THREADS"] = str(manifest.placement.threads)
    ranks = arguments.ranks or leg_of(manifest).ranks
    if arguments.rank is None and (ranks > 1 or manifest.placement.dp_at_batch):
        return _start_all(arguments.manifest, manifest, arguments.attempt)
    from runtime.worker import work

    work(arguments.manifest, rank=arguments.rank or 0, world_size=ranks, attempt=arguments.attempt)
    return 0


def _start_all(file: Path, manifest: Manifest, attempt: str) -> int:
    """Leg after leg, each with its own ranks."""
    while True:
        leg = leg_of(manifest)
        command = [sys.executable, "-P", "-m", "runtime", str(file), "--ranks", str(leg.ranks), "--attempt", attempt]
        ranks = [subprocess.Popen([*command, "--rank", str(rank)]) for rank in range(leg.ranks)]
        status = max(process.wait() for process in ranks)
        if status or leg.end is None or leg_of(manifest) == leg:
            return status
        attempt += "+"


if __name__ == "__main__":
    sys.exit(main())

"""A run among failures: whatever is killed, filled up or taken away, what is sealed in the end are a quiet run's bytes.

Which failure comes when is drawn from a seed. `RUNG_CHAOS_SEEDS=1,2,3` runs the whole micro recipe under each of these
seeds besides, every failure three times.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from .cases import LOOPBACK, MICRO, ROOT, command, half, hashes, rung, status
from .loopback import Loopback

pytestmark = pytest.mark.slow
_SEEDS = [int(seed) for seed in os.environ.get("RUNG_CHAOS_SEEDS", "").split(",") if seed]
_DISK_BYTES = 48 << 20
_PATIENCE_S = 1200


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own for a store, which can be filled up and made read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        warnings.warn(f"no disk is filled up or made read-only: {mounted.stderr.strip()}", stacklevel=2)
    yield folder
    if not mounted.returncode:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_run_among_failures_ends_with_the_bytes_of_a_quiet_one(
    slurm: Loopback, quiet: Path, disk: Path, tmp_path: Path
) -> None:
    spec = half(tmp_path, divided=True, upto="reward_ratings")
    made = _run_among_failures(slurm, spec, disk, tmp_path, seed=1, times=1)
    expected = hashes(quiet)
    assert "reward_responses" in made
    assert made == {label: expected[label] for label in made}


@pytest.mark.parametrize("seed", _SEEDS)
def test_the_whole_recipe_among_many_failures(slurm: Loopback, disk: Path, tmp_path: Path, seed: int) -> None:
    calm = tmp_path / "calm"
    rung("run", MICRO, "--store", calm, "--json")
    made, expected = _run_among_failures(slurm, MICRO, disk, tmp_path, seed=seed, times=3), hashes(calm)
    # The report tells how long stages took.
    assert {label: made[label] for label in made if label != "report"} == {
        label: expected[label] for label in expected if label != "report"
    }


def _run_among_failures(
    slurm: Loopback, spec: Path, store: Path, folder: Path, *, seed: int, times: int
) -> dict[str, dict[str, str]]:
    """Hashes of what the recipe made: the run ends done, by itself or after some `rung resume`."""
    site = folder / "site.yaml"
    # Where every job may have to give way.
    lines = LOOPBACK.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(("    main:", "    short:"))]
    site.write_text("\n".join(kept), encoding="utf-8")
    failures = _Failures(slurm, spec, site, store, random.Random(seed))
    failures.read_only_from_the_start()
    acts = [act for act in failures.acts() for _ in range(times)]
    failures.rng.shuffle(acts)
    resumed = 0
    end = time.monotonic() + _PATIENCE_S
    while True:
        assert time.monotonic() < end, f"{failures.told}\n{json.dumps(failures.status(), indent=1)}"
        told = failures.status()
        if told["state"] == "done":
            return hashes(store)
        if told["state"] != "running":
            _reasons_are_told(told, failures.told)
            # A user looks, mends the cause and goes on; no failure of ours may need it more often than it comes.
            resumed += 1
            assert resumed <= len(failures.told) + 1, f"{failures.told}\n{json.dumps(told, indent=1)}"
            failures.resume()
        if acts:
            time.sleep(failures.rng.uniform(0.5, 3))
            acts.pop()()
        else:
            time.sleep(0.5)


def _reasons_are_told(told: Mapping[str, Any], failures: list[str]) -> None:
    for stage in told["stages"]:
        if stage["state"] in ("failed", "blocked", "cancelled"):
            assert stage["message"], (stage, failures)


class _Failures:
    """What may happen to a run."""

    def __init__(self, slurm: Loopback, spec: Path, site: Path, store: Path, rng: random.Random) -> None:
        self.slurm, self.spec, self.site, self.store, self.rng = slurm, spec, site, store, rng
        self.told: list[str] = []

    def acts(self) -> list[Callable[[], None]]:
        plain = [self.kill_launcher, self.kill_worker, self.requeue, self.kill_node, self.preempt, self.kill_controller]
        return [*plain, self.fill_disk] if self.store.is_mount() else plain

    def status(self) -> dict[str, Any]:
        (run,) = (self.store / "runs").glob("*-????")
        return status(run.name, self.store)

    def resume(self) -> None:
        self.told.append("resumed")
        self.slurm.mend_nodes()
        self._insist("resume", "--store", self.store)

    def read_only_from_the_start(self) -> None:
        """Launchers are killed while they submit; then the disk is read-only while the first jobs start."""
        self.slurm.run("scontrol", "update", "partitionname=spare", "state=down")
        for _ in range(3):
            self.kill_launcher()
        self._insist(*self._submission())
        if self.store.is_mount():
            self._mount("ro")
        self.slurm.run("scontrol", "update", "partitionname=spare", "state=up")
        time.sleep(3)
        if self.store.is_mount():
            silent = subprocess.run(command("resume", "--store", self.store), capture_output=True, text=True, cwd=ROOT)
            assert silent.returncode == 2 and "Read-only file system" in silent.stderr, silent.stderr
            self._mount("rw")
        self.told.append("read-only")

    def kill_launcher(self) -> None:
        launcher = subprocess.Popen(
            command(*self._submission()),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(self.rng.uniform(0.3, 2))
        launcher.kill()
        launcher.wait()
        self.told.append("launcher killed")

    def kill_worker(self) -> None:
        workers = [int(process.name) for process in Path("/proc").glob("[0-9]*") if self._is_worker(process)]
        if workers:
            with suppress(ProcessLookupError):
                os.kill(self.rng.choice(sorted(workers)), signal.SIGKILL)
            self.told.append("worker killed")

    def requeue(self) -> None:
        for job in self._running()[:1]:
            # It may end while it is asked to.
            with suppress(RuntimeError):
                self.slurm.run("scontrol", "requeue", job)
            self.told.append(f"{job} queued again")

    def kill_node(self) -> None:
        node = self.rng.choice(self.slurm.nodes)
        self.slurm.fail_node(node)
        time.sleep(1)
        self.slurm.mend_node(node)
        self.told.append(f"{node} killed")

    def preempt(self) -> None:
        """Somebody more important takes all nodes for a moment."""
        nodes = len(self.slurm.nodes)
        self.slurm.run(
            "sbatch", "--exclusive", f"--nodes={nodes}", "--partition=main", "--output=/dev/null", "--wrap=sleep 1"
        )
        self.told.append("preempted")

    def kill_controller(self) -> None:
        self.slurm.fail_controller()
        time.sleep(self.rng.uniform(0, 2))
        self.slurm.mend_controller()
        self.told.append("controller killed")

    def fill_disk(self) -> None:
        filler = self.store / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(1 << 16)):
                pass
        assert shutil.disk_usage(self.store).free == 0
        time.sleep(3)
        filler.unlink()
        self.told.append("disk full")

    def _submission(self) -> tuple[object, ...]:
        if list((self.store / "runs").glob("*-????")):
            return "resume", "--store", self.store
        return "submit", self.spec, "--cluster", self.site, "--store", self.store

    def _insist(self, *arguments: object) -> None:
        """A launcher that was killed may have left an sbatch, which holds the run's lock for a moment."""
        end = time.monotonic() + 60
        while True:
            done = subprocess.run(command(*arguments), capture_output=True, text=True, cwd=ROOT)
            if done.returncode == 0:
                return
            assert "being submitted" in done.stderr and time.monotonic() < end, done.stderr + done.stdout
            time.sleep(0.5)

    def _mount(self, how: str) -> None:
        """A disk that somebody writes to at the moment cannot be made read-only."""
        end = time.monotonic() + 60
        while subprocess.run(["mount", "-o", f"remount,{how}", self.store], capture_output=True).returncode:
            assert time.monotonic() < end, f"{self.store} stays busy"
            time.sleep(0.2)

    def _is_worker(self, process: Path) -> bool:
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            return False
        return b"submitit.core._submit" in words and bytes(self.store) in words and b"srun" not in words

    def _running(self) -> list[str]:
        told = self.slurm.run("squeue", "--me", "-h", "-t", "running", "-p", "spare", "-o", "%i")
        return sorted(told.split(), key=lambda _: self.rng.random())

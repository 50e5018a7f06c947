"""Data-parallel ranks that grow with the batch, by the command itself: undisturbed, killed in either leg, by hand."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from compiler.journal import read_events

RECIPE = Path(__file__).parents[1] / "recipes" / "ramp.yaml"
pytestmark = pytest.mark.slow


def rung(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "compiler", *map(str, arguments)]


def finish(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def base(store: Path) -> Path:
    """The sealed artifact of the training."""
    (record,) = (store / "store" / "pretrain").glob("*/artifact.json")
    return record.parent


def files(store: Path) -> dict[str, str]:
    """Relative path -> hash."""
    found: dict[str, str] = json.loads((base(store) / "artifact.json").read_text())["files"]
    return found


def curve(store: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (base(store) / "curve.jsonl").read_text().splitlines()]


def events(store: Path) -> list[dict[str, Any]]:
    (journal,) = (store / "runs").glob("*/journal/base.jsonl")
    return list(read_events(journal))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with all that the training needs."""
    folder = tmp_path_factory.mktemp("prepared")
    recipe = folder / "data.yaml"
    recipe.write_text(RECIPE.read_text(encoding="utf-8").partition("  base:\n")[0], encoding="utf-8")
    finish(rung("run", recipe, "--store", folder / "store"))
    shutil.rmtree(folder / "store" / "runs")
    return folder / "store"


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    shutil.copytree(prepared, store)
    finish(rung("run", RECIPE, "--store", store))
    return store


def test_one_rank_makes_the_steps_of_the_small_batch_and_two_those_of_the_large_one(undisturbed: Path) -> None:
    told = events(undisturbed)
    assert [event["world_size"] for event in told if event["event"] == "started"] == [1, 2]
    (handed_over,) = (event for event in told if event["event"] == "handed_over")
    steps = curve(undisturbed)
    assert steps[handed_over["step"]]["tokens"] == 2 * steps[handed_over["step"] - 1]["tokens"]


def test_the_curve_is_that_of_a_training_whose_ranks_never_change(
    undisturbed: Path, prepared: Path, tmp_path: Path
) -> None:
    shutil.copytree(prepared, tmp_path / "store")
    finish(rung("run", RECIPE, "--store", tmp_path / "store", "--set", "pipeline.base.placement.layout.dp=1"))
    assert [event["world_size"] for event in events(tmp_path / "store") if event["event"] == "started"] == [1]
    alone, ramped = curve(tmp_path / "store"), curve(undisturbed)
    assert len(alone) == len(ramped)
    for one, other in zip(alone, ramped, strict=True):
        assert math.isclose(one["loss"], other["loss"], rel_tol=1e-4)
        assert math.isclose(one["grad_norm"], other["grad_norm"], rel_tol=1e-3)
    assert files(tmp_path / "store")["curve.jsonl"] != files(undisturbed)["curve.jsonl"], "ranks round differently"


def test_killed_in_either_leg_and_gone_on_with_by_hand_or_by_resume_it_ends_with_the_same_bytes(
    undisturbed: Path, prepared: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(prepared, store)
    kill_when_it_has_done(EVERY, rung("run", RECIPE, "--store", store), store)
    (manifest,) = (store / "runs").glob("*/manifests/base.json")
    # By hand the first leg is gone on with, and then the second.
    by_hand = [sys.executable, "-P", "-m", "runtime", str(manifest)]
    kill_when_it_has_done(LEG + EVERY, by_hand, store)
    finish(rung("resume", "latest", "--store", store))
    assert [event["world_size"] for event in events(store) if event["event"] == "started"] == [1, 1, 2, 2]
    first, second = resumed(store)
    assert first % EVERY == second % EVERY == 0, "each kill was after a checkpoint of the same leg"
    assert files(store) == files(undisturbed)


LEG, EVERY = 250, 40
"""Steps of the first leg, and from a checkpoint to the next."""


def kill_when_it_has_done(steps: int, command: Sequence[str], store: Path) -> None:
    """Kills the command and all that it started, when so many steps are done."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while done(store) <= steps:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def done(store: Path) -> int:
    """Steps, as the journal tells now and then."""
    begun = list((store / "runs").glob("*/journal/base.jsonl"))
    told = [event["done"] for event in events(store) if event["event"] == "progress"] if begun else []
    return told[-1] if told else 0


def resumed(store: Path) -> list[int]:
    """Steps that were done when training went on after a kill."""
    told = [event for event in events(store) if event["event"] in ("started", "progress", "handed_over")]
    return [
        after["done"] - 1
        for before, start, after in zip(told, told[1:], told[2:], strict=False)
        if (before["event"], start["event"], after["event"]) == ("progress", "started", "progress")
    ]

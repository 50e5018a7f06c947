"""A whole recipe at the smallest size, run by the command itself: undisturbed, killed, interrupted, by hand."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

RECIPE = Path(__file__).parents[1] / "recipes" / "micro.yaml"
pytestmark = pytest.mark.slow


def rung(*arguments: str | Path, **options: Any) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "compiler", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, **options)


def start_rung(*arguments: str | Path) -> "subprocess.Popen[bytes]":
    """In a process group of its own, so that a kill reaches the launcher and all its jobs at once."""
    command = [sys.executable, "-m", "compiler", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def sealed(store: Path) -> dict[str, dict[str, str]]:
    """kind/fingerprint -> relative path -> hash, of every artifact."""
    records = sorted((store / "store").glob("*/*/artifact.json"))
    return {
        f"{file.parts[-3]}/{file.parts[-2]}": json.loads(file.read_text())["files"]
        for file in records
        if file.parts[-3] != "report"  # it tells measured times
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("undisturbed")
    result = rung("run", RECIPE, "--store", store)
    assert result.returncode == 0, result.stdout + result.stderr
    return store


def test_a_second_run_reuses_everything_and_says_why(undisturbed: Path) -> None:
    result = rung("plan", RECIPE, "--store", undisturbed, "--json")
    stages = json.loads(result.stdout)["stages"]
    assert {stage["action"] for stage in stages} == {"reuse"}
    assert all(stage["reason"].startswith("sealed ") for stage in stages)
    begun = time.monotonic()
    again = rung("run", RECIPE, "--store", undisturbed)
    assert again.returncode == 0
    assert "nothing to run" in again.stdout
    assert time.monotonic() - begun < 5


def test_a_changed_loss_runs_only_what_follows(undisturbed: Path) -> None:
    result = rung(
        "plan", RECIPE, "--store", undisturbed, "--json", "--set", "pipeline.rounds.stages.train.loss.eta=2.0"
    )
    actions = {stage["name"]: stage["action"] for stage in json.loads(result.stdout)["stages"]}
    assert actions["rounds.1.responses"] == "reuse"
    reruns = {name for name, action in actions.items() if action == "run"}
    round_two = {"responses", "truths", "rewards", "pairs", "train"}
    assert reruns == {"rounds.1.train", "exam", "report", *(f"rounds.2.{name}" for name in round_two)}
    reason = next(stage["reason"] for stage in json.loads(result.stdout)["stages"] if stage["name"] == "rounds.1.train")
    assert reason == "loss.eta 1.0 -> 2.0"


def test_status_logs_and_report_tell_of_the_run(undisturbed: Path) -> None:
    status = json.loads(rung("status", "--store", undisturbed, "--json").stdout)
    assert status["state"] == "done"
    runs = sorted((undisturbed / "runs").iterdir(), key=lambda run: run.stat().st_mtime)
    first = json.loads(rung("status", runs[0].name, "--store", undisturbed, "--json").stdout)
    assert {stage["state"] for stage in first["stages"]} == {"done"}
    log = rung("logs", runs[0].name, "--stage", "base", "--rank", "1", "--store", undisturbed)
    assert log.returncode == 0
    assert "Job completed successfully" in log.stdout
    report = json.loads(rung("report", "--store", undisturbed, "--json").stdout)[0]
    assert [row["title"] for row in report["rows"]] == ["SFT", "RPO"]
    assert "SFT" in rung("report", "--store", undisturbed).stdout


def test_a_sweep_over_seeds_computes_what_they_share_once_and_reports_both(undisturbed: Path, tmp_path: Path) -> None:
    shutil.copytree(undisturbed / "store", tmp_path / "store")
    swept = tmp_path / "swept.yaml"
    swept.write_text(RECIPE.read_text() + "\nmatrix: {params.seed: [1, 2]}\n")
    before = set(sealed(tmp_path))
    result = rung("run", swept, "--store", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    made = {name.split("/")[0] for name in set(sealed(tmp_path)) - before}
    assert "pretrain" in made
    assert not made & {"prompts", "annotate", "tokenizer", "tokenize"}
    report = json.loads(rung("report", "--store", tmp_path, "--json").stdout)[0]
    assert [row["points"] for row in report["rows"]] == [2, 2]
    assert report["rows"][0]["overall"]["greedy"]["prompts"] == 120


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_points_it_ends_with_the_same_bytes(undisturbed: Path, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    command = ["run", str(RECIPE), "--store", str(tmp_path)]
    for _ in range(4):
        process = start_rung(*command)
        time.sleep(rng.uniform(3, 11))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        command = ["resume", "latest", "--store", str(tmp_path)]
    result = rung(*command)
    assert result.returncode == 0, result.stdout + result.stderr
    assert sealed(tmp_path) == sealed(undisturbed)


@pytest.mark.parametrize(
    ("gone", "trace"),
    [
        (("pretrain", "sft"), "checkpoints/step-*"),
        (("generate", "judge", "pair", "prefer"), "answers-0-0.jsonl"),
    ],
    ids=["training", "generation"],
)
def test_killed_inside_a_stage_it_goes_on_from_there(
    undisturbed: Path, tmp_path: Path, gone: tuple[str, ...], trace: str
) -> None:
    """Killed when the first checkpoint, or the first row, is there; what came before the stage is sealed."""
    shutil.copytree(undisturbed / "store", tmp_path / "store")
    for kind in (*gone, "evaluate", "report", "reward_model", "generate", "judge", "pair", "prefer"):
        shutil.rmtree(tmp_path / "store" / kind, ignore_errors=True)
    process = start_rung("run", RECIPE, "--store", tmp_path)
    deadline = time.monotonic() + 120
    while not any(map(_holds_something, (tmp_path / "scratch").glob(f"*/{trace}"))):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    result = rung("resume", "latest", "--store", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert sealed(tmp_path) == sealed(undisturbed)


def _holds_something(trace: Path) -> bool:
    """A ledger is there, empty, before its first row is."""
    try:
        return trace.stat().st_size > 0
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda how: how.name)
def test_interrupted_by_the_user_it_says_how_to_go_on(how: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "compiler", "run", str(RECIPE), "--store", str(tmp_path)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Whoever started the tests in the background made them deaf to this, and the children would be so too.
        preexec_fn=lambda: signal.signal(how, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("runs/*/journal/*.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    # A terminal tells all that run in it, whoever kills tells one.
    os.kill(process.pid, how) if how is signal.SIGTERM else os.killpg(process.pid, how)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "rung resume micro-" in errors
    assert "Traceback" not in errors
    states = {stage["state"] for stage in json.loads(rung("status", "--store", tmp_path, "--json").stdout)["stages"]}
    assert states <= {"done", "waiting", "cancelled"}


def test_any_stage_runs_by_hand(undisturbed: Path, tmp_path: Path) -> None:
    """`python -P -m runtime MANIFEST`; it starts both ranks of a two-rank stage."""
    store = tmp_path / "work"
    shutil.copytree(undisturbed / "store", store / "store")
    for kind in ("prompts", "annotate", "tokenizer", "tokenize"):
        assert (store / "store" / kind).is_dir()
    for kind in {path.name for path in (store / "store").iterdir()} - {"prompts", "annotate", "tokenizer", "tokenize"}:
        shutil.rmtree(store / "store" / kind)
    out = tmp_path / "rendered"
    assert rung("render", RECIPE, "--store", store, "--out", out).returncode == 0
    hand = subprocess.run([sys.executable, "-P", "-m", "runtime", out / "manifests" / "base.json"], timeout=300)
    assert hand.returncode == 0
    (key,) = (name for name in sealed(store) if name.startswith("pretrain/"))
    assert sealed(store)[key] == sealed(undisturbed)[key]

"""The curve of a stage that was interrupted is the curve of one that was not."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from runtime.curve import FILE, Curve
from runtime.engine.loop import StepRecord


def record(step: int) -> StepRecord:
    return StepRecord(
        step=step, loss=1.0 / (step + 1), learning_rate=0.1, grad_norm=1.0, tokens=8, flops=1e9, seconds=0.01 * step,
        metrics={"accuracy": 0.5},
    )  # fmt: skip


def curve(scratch: Path, rank: int = 0) -> Curve:
    context: Any = SimpleNamespace(scratch=scratch, rank=rank, progress=lambda **_: None)
    return Curve(context, num_steps=6)


def sealed(folder: Path, *attempts: range) -> tuple[bytes, Any]:
    folder.mkdir()
    for steps in attempts:
        last = curve(folder)
        for step in steps:
            last.record(record(step))
    output = folder / "output"
    output.mkdir()
    facts = last.seal(output)
    return (output / FILE).read_bytes(), facts


def test_steps_done_again_stand_once_and_the_bytes_are_the_same(tmp_path: Path) -> None:
    undisturbed = sealed(tmp_path / "a", range(6))
    resumed = sealed(tmp_path / "b", range(4), range(2, 6))
    assert resumed == undisturbed
    assert undisturbed[1] == {"steps": 6, "first_loss": 1.0, "last_loss": 1 / 6, "tokens": 48, "flops": 6e9}


def test_seconds_are_not_in_the_curve(tmp_path: Path) -> None:
    lines, _ = sealed(tmp_path / "a", range(2))
    assert set(json.loads(lines.splitlines()[0])) == {
        "step", "loss", "learning_rate", "grad_norm", "tokens", "flops", "accuracy",
    }  # fmt: skip


def test_only_the_first_rank_writes(tmp_path: Path) -> None:
    curve(tmp_path, rank=1).record(record(0))
    assert not (tmp_path / FILE).exists()

"""Checkpoints of a run in training: which stay, and what is written while training goes on."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from engine_cases import ADAM, BF16, FP32, LLAMA, batches, environment, hashes, make, same_weights

from compiler.schema.model import Precision
from runtime.engine.keeping import Checkpointing
from runtime.engine.loop import StepRecord, train
from runtime.engine.model import Model
from runtime.engine.objective import next_token
from runtime.failures import looks_like_the_clusters


def run(model: Model, checkpointing: Checkpointing | None = None, *, num_steps: int = 6) -> list[StepRecord]:
    records: list[StepRecord] = []
    train(
        model,
        ADAM,
        num_steps=num_steps,
        learning_rate=lambda step: 1e-3 * (step + 1),
        micro_batches=batches,
        objective=next_token,
        checkpointing=checkpointing,
        on_step=records.append,
    )
    return records


def test_the_newest_checkpoints_and_milestones_stay(tmp_path: Path) -> None:
    for background in (False, True):
        folder = tmp_path / str(background)
        run(make(), Checkpointing(folder, every=1, last=2, milestones=3, background=background))
        assert sorted(path.name for path in folder.iterdir()) == [f"step-00000000{step}" for step in (3, 5, 6)]


@pytest.mark.parametrize("precision", [FP32, BF16], ids=lambda precision: precision.dtype)
def test_checkpoints_written_in_the_background_hold_the_state_of_their_step(
    tmp_path: Path, precision: Precision
) -> None:
    """And not that of the steps which were done while they were written."""
    for background in (False, True):
        run(make(LLAMA, precision), Checkpointing(tmp_path / str(background), every=2, last=9, background=background))
    for step in (2, 4, 6):
        assert hashes(tmp_path / "True" / f"step-00000000{step}") == hashes(tmp_path / "False" / f"step-00000000{step}")


def test_what_goes_wrong_in_the_background_is_raised_and_leaves_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(stream: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BaseException, match="No space left") as raised:
        run(make(), Checkpointing(tmp_path, every=2, background=True))
    assert looks_like_the_clusters(raised.value)
    assert not list(tmp_path.glob("step-*"))


def test_killed_while_a_checkpoint_is_written_it_goes_on_from_the_one_before(tmp_path: Path) -> None:
    checkpoints = tmp_path / "training"
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("engine_victim.py")), str(tmp_path)]
    victim = subprocess.Popen([*command, "background"], env=environment())

    def writes_while_it_trains() -> bool:
        unfinished = [int(path.name[6:15]) for path in checkpoints.glob(".step-*.partial")]
        told = (tmp_path / "steps").read_text() if (tmp_path / "steps").exists() else ""
        return bool(unfinished and list(checkpoints.glob("step-*")) and told and int(told) >= unfinished[0])

    deadline = time.monotonic() + 300
    while not writes_while_it_trains() and victim.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    (unfinished,) = checkpoints.glob(".step-*.partial")
    (finished,) = checkpoints.glob("step-*")

    resumed, straight = make(), make()
    rest = run(resumed, Checkpointing(checkpoints, every=3, background=True), num_steps=40)
    assert rest[0].step == int(finished.name[5:]) < int(unfinished.name[6:15])
    run(straight, num_steps=40)
    assert same_weights(straight, resumed)
    assert not list(checkpoints.glob(".*"))

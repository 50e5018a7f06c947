"""What a person reads of a running stage."""

from dataclasses import replace

from compiler.runs.status import StageStatus
from compiler.terminal.tables import progress_words, seconds_left

RUNNING = StageStatus(
    "base",
    "pretrain",
    "running",
    attempts=1,
    started=1000.0,
    progress={"done": 120, "total": 360, "unit": "step", "loss": 1.52, "time": 1060.0},
)


def test_a_third_done_in_a_minute_leaves_two() -> None:
    assert seconds_left(RUNNING) == 120
    assert progress_words(RUNNING) == "120/360 step  loss 1.52  2 min 00 s left"


def test_nothing_is_foretold_of_a_stage_that_went_on_from_before_or_told_nothing() -> None:
    assert seconds_left(replace(RUNNING, attempts=2)) is None
    assert seconds_left(replace(RUNNING, progress=None)) is None
    assert progress_words(replace(RUNNING, state="queued")) == ""

"""What a person reads of a running stage."""

from dataclasses import replace

from compiler.runs.status import StageStatus
from compiler.terminal.tables import progress_words

RUNNING = StageStatus(
    "base",
    "pretrain",
    "running",
    progress={"done": 120, "total": 360, "unit": "step", "loss": 1.52},
    left_s=120,
)


def test_a_running_stage_tells_where_it_is_how_fast_it_goes_and_how_long_it_has_left() -> None:
    assert progress_words(RUNNING) == "120/360 step  loss 1.52  2 min 00 s left"
    rows = {"done": 9, "total": 30, "unit": "row", "rows_per_s": 4.5, "tokens_per_s": 90.0}
    assert progress_words(replace(RUNNING, progress=rows, left_s=None)) == "9/30 row  4.5 rows/s  90.0 tokens/s"


def test_what_does_not_run_tells_nothing() -> None:
    assert progress_words(replace(RUNNING, progress=None)) == ""
    assert progress_words(replace(RUNNING, state="queued")) == ""

"""A later job of a chain goes on where the one before was ended, and repeats no failure of the recipe's."""

from pathlib import Path

import pytest

from compiler.journal import append_event
from compiler.manifest import Manifest
from runtime.worker import EndedBeforeError, _nothing_is_left


def test_what_other_ranks_say_of_a_job_that_was_told_to_end_counts_for_nothing(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    manifest = Manifest.model_construct(output=str(tmp_path / "none"), journal=str(journal))
    append_event(journal, "submitting", number=1)
    append_event(journal, "requeued", attempt="first")
    append_event(journal, "failed", attempt="first", rank=1, error="rank 0 is gone", again=False)
    assert not _nothing_is_left(manifest)
    append_event(journal, "failed", attempt="second", rank=0, error="ValueError: no", again=False)
    with pytest.raises(EndedBeforeError, match="ValueError: no"):
        _nothing_is_left(manifest)
    append_event(journal, "submitting", number=1)
    assert not _nothing_is_left(manifest)

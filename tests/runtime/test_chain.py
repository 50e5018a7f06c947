"""A later job of a chain goes on where the one before was ended, and repeats no failure of the recipe's."""

from pathlib import Path

import pytest

from compiler.journal import append_event, read_events
from compiler.manifest import Manifest
from runtime.worker import EndedBeforeError, _nothing_is_left, _try_again


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


def test_a_job_that_was_told_to_end_is_not_queued_a_second_time_by_its_other_ranks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" >>{told}\n')
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    journal = tmp_path / "journal.jsonl"
    append_event(journal, "requeued", attempt="first", rank=0)
    _try_again(journal, 2, "first", None)
    assert not told.exists()
    _try_again(journal, 2, "second", None)
    assert told.read_text() == "requeue 7\n"
    assert [event["event"] for event in read_events(journal)] == ["requeued", "retried"]

"""The journal survives what its writers do not."""

import subprocess
import sys
from pathlib import Path

import pytest

from compiler.journal import append_event, read_events


def names(journal: Path) -> list[str]:
    return [event["event"] for event in read_events(journal)]


def test_a_line_cut_short_is_no_event_and_spoils_none_that_follows(tmp_path: Path) -> None:
    journal = tmp_path / "stage.jsonl"
    append_event(journal, "started", attempt="a")
    with journal.open("ab") as file:
        file.write(b'{"event": "prog')
    assert names(journal) == ["started"]
    append_event(journal, "sealed")
    assert names(journal) == ["started", "sealed"]


@pytest.mark.parametrize("limit", [1, 10, 60])
def test_a_full_disk_is_an_error_and_leaves_a_journal_that_reads(tmp_path: Path, limit: int) -> None:
    """The kernel writes as much of a line as fits: of a file's size limit as of a disk."""
    journal = tmp_path / "stage.jsonl"
    append_event(journal, "started", attempt="a")
    size = journal.stat().st_size + limit
    script = f"""
import resource, signal
from pathlib import Path
from compiler.journal import append_event
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
try:
    append_event(Path({str(journal)!r}), "progress", done=1, total=2, unit="row" * 20)
except OSError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "refused", done.stderr
    assert names(journal) == ["started"]
    append_event(journal, "sealed")
    assert names(journal) == ["started", "sealed"]

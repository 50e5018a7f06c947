"""The event log of one stage in one run: JSON lines, only ever appended, written by launcher and workers alike."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def append_event(journal: Path, event: str, **fields: Any) -> None:
    """Appends one event in a single write, so that lines of several writers never mix."""
    line = json.dumps({"time": round(time.time(), 3), "event": event, **fields}, sort_keys=True) + "\n"
    journal.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def read_events(journal: Path) -> Iterator[dict[str, Any]]:
    """Every whole event, in order; a last line that a kill cut short is not one."""
    if not journal.exists():
        return
    with journal.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield json.loads(line)

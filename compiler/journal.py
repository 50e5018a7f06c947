"""The event log of one stage in one run: JSON lines, only ever appended, written by launcher and workers alike."""

import errno
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def append_event(journal: Path, event: str, **fields: Any) -> None:
    """Appends one event in a single write, so that lines of several writers never mix.

    Raises OSError where it cannot be written whole, on a full disk say; what was written of it then ends no other line.
    """
    line = json.dumps({"time": round(time.time(), 3), "event": event, **fields}, sort_keys=True) + "\n"
    journal.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(journal, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        whole = (b"\n" if torn else b"") + line.encode()
        if os.write(handle, whole) < len(whole):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(journal))
    finally:
        os.close(handle)


def read_events(journal: Path) -> Iterator[dict[str, Any]]:
    """Every whole event, in order; a line that a kill or a full disk cut short is not one."""
    if not journal.exists():
        return
    with journal.open("rb") as lines:
        for line in lines:
            event = _parsed(line) if line.endswith(b"\n") else None
            if event is not None:
                yield event


def handed_on(events: Iterable[dict[str, Any]]) -> set[str]:
    """Attempts that were told to end, to go on later."""
    return {event["attempt"] for event in events if event["event"] == "requeued" and "attempt" in event}


def own_events(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without failures of attempts that were told to end: where one rank makes room, the others fail for want of it."""
    told = list(events)
    ended = handed_on(told)
    return [event for event in told if event["event"] != "failed" or event.get("attempt") not in ended]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None

"""Why a stage runs or is reused: the difference to its nearest sealed relative."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from compiler.artifacts import ArtifactRecord
from compiler.planning.inventory import Inventory

_SHOWN = 3


def why_reused(record: ArtifactRecord, now: datetime) -> str:
    """`sealed 2 days ago by alice`."""
    sealed = record.provenance.get("sealed")
    age = f"sealed {_ago(now - datetime.fromisoformat(sealed))}" if isinstance(sealed, str) else "sealed"
    user = record.provenance.get("user")
    return f"{age} by {user}" if user else age


def why_run(label: str, kind: str, identity: Mapping[str, Any], inventory: Inventory, names: Mapping[str, str]) -> str:
    """`new`, or what changed since the nearest sealed relative: `loss.eta 1.0 -> 2.0`, `input base changed`.

    `names` gives the labels of fingerprints in this program, so that a changed input is called by its name.
    """
    relatives = inventory.relatives(kind, label)
    if not relatives:
        return "new"
    differences = min((list(_differences("", record.stage, identity)) for record in relatives), key=len)
    shown = [_word(path, old, new, names) for path, old, new in differences[:_SHOWN]]
    more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
    return ", ".join(shown) + more if shown else "new"


def _word(path: str, old: Any, new: Any, names: Mapping[str, str]) -> str:
    if isinstance(new, str) and new in names:
        return f"input {names[new]} changed"
    if isinstance(new, list) and new and isinstance(new[0], list):
        return f"{path} changed"
    return f"{path} {_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _differences(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(f"{path}.{key}" if path else key, old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{path}.{index}", one, other)
    elif old != new:
        yield path, old, new


def _ago(age: timedelta) -> str:
    seconds = max(0, int(age.total_seconds()))
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return f"{seconds} s ago"

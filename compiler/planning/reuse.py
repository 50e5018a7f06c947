"""Why a stage runs or is reused: the difference to its nearest sealed relative."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from compiler.artifacts import ArtifactRecord
from compiler.planning.differences import differences, in_words
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
    fewest = min((list(differences(record.stage, identity)) for record in relatives), key=len)
    shown = [_word(path, old, new, names) for path, old, new in fewest[:_SHOWN]]
    more = f" and {len(fewest) - _SHOWN} more" if len(fewest) > _SHOWN else ""
    return ", ".join(shown) + more if shown else "new"


def _word(path: str, old: Any, new: Any, names: Mapping[str, str]) -> str:
    if isinstance(new, str) and new in names:
        return f"input {names[new]} changed"
    if isinstance(new, list) and new and isinstance(new[0], list):
        return f"{path} changed"
    return f"{path} {in_words(old)} -> {in_words(new)}"


def _ago(age: timedelta) -> str:
    seconds = max(0, int(age.total_seconds()))
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return f"{seconds} s ago"

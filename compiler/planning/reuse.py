"""Why a stage runs or is reused: the difference to its nearest sealed relative."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from compiler.artifacts import ArtifactRecord
from compiler.planning.differences import Difference, differences, in_words
from compiler.planning.inventory import Inventory

_SHOWN = 3


def why_reused(record: ArtifactRecord, now: datetime) -> str:
    """`sealed 2 days ago by alice`."""
    sealed = record.provenance.get("sealed")
    age = f"sealed {_ago(now - datetime.fromisoformat(sealed))}" if isinstance(sealed, str) else "sealed"
    user = record.provenance.get("user")
    return f"{age} by {user}" if user else age


class Relative(NamedTuple):
    """A sealed artifact, and what a stage of now has otherwise."""

    record: ArtifactRecord
    differences: Sequence[Difference]


def nearest_relative(label: str, kind: str, identity: Mapping[str, Any], inventory: Inventory) -> Relative | None:
    """The sealed relative that differs in the fewest fields; None if there is none."""
    relatives = inventory.relatives(kind, label)
    if not relatives:
        return None
    found = (Relative(record, tuple(differences(record.stage, identity))) for record in relatives)
    return min(found, key=lambda relative: len(relative.differences), default=None)


def why_run(label: str, kind: str, identity: Mapping[str, Any], inventory: Inventory, names: Mapping[str, str]) -> str:
    """`new`, or what changed since the nearest sealed relative: `loss.eta 1.0 -> 2.0`, `input base changed`.

    `names` gives the labels of fingerprints in this program, so that a changed input is called by its name.
    """
    nearest = nearest_relative(label, kind, identity, inventory)
    if nearest is None:
        return "new"
    return _words(nearest.differences, names) or "new"


def why_pinned(record: ArtifactRecord, drift: Sequence[Difference], names: Mapping[str, str], now: datetime) -> str:
    """`pinned, sealed 2 days ago by alice`, and what the recipe has otherwise by now."""
    kept = f"pinned, {why_reused(record, now)}"
    return f"{kept}; drifted: {_words(drift, names)}" if drift else kept


def _words(changed: Sequence[Difference], names: Mapping[str, str]) -> str:
    shown = [_word(path, old, new, names) for path, old, new in changed[:_SHOWN]]
    more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
    return ", ".join(shown) + more


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

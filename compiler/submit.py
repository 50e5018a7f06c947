"""Pass 7, Bundle -> Run: writes the run directory. With it the side effects begin."""

import getpass
import os
import secrets
from datetime import datetime
from pathlib import Path
from typing import Any

from compiler.lower import Bundle


def new_run_path(store: Path, name: str, now: datetime) -> Path:
    """A fresh run directory's path: the experiment's name, the time, and four random digits."""
    return store / "runs" / f"{name}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def provenance(spec: Path, run: Path) -> dict[str, Any]:
    """Who runs what: kept in every artifact's record, never part of identity."""
    return {"spec": str(spec), "run": run.name, "user": _user()}


def write_bundle(bundle: Bundle, run: Path) -> None:
    """Writes the run directory so that it is there whole or not at all."""
    partial = run.with_name(run.name + ".partial")
    for name, text in bundle.files.items():
        file = partial / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    partial.rename(run)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())

"""The page of a run: the graph of its plan with the state of each stage, and planned against real time."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from compiler.draw.details import Detail, detail
from compiler.draw.picture import picture_of_plan
from compiler.runs.layout import PLAN, manifest_name, script_name
from compiler.runs.status import RunStatus
from compiler.terminal.tables import progress_words


class RunPage:
    """The page of one run; what its plan says is read once, and its state given anew each time."""

    def __init__(self, run: Path) -> None:
        # Here, because it takes packages that the base install has not.
        from compiler.draw.page import scene_of

        told = json.loads((run / PLAN).read_bytes())
        self._scene = scene_of(*picture_of_plan(told), cluster=told["cluster"], totals=told["totals"])
        self._details = list(_details(run, told))

    def text(self, status: RunStatus, *, now: float, every_s: float, url: str | None = None) -> str:
        """The file. While the run goes on it looks again every so many seconds: at `url`, or at itself."""
        from compiler.draw.page import page

        live = {"every_s": every_s, "url": url}
        return page({**self._scene, "state": state_json(status, now), "live": live}, self._details)


def state_json(status: RunStatus, now: float) -> dict[str, Any]:
    """What the page asks for again and again: the state of every stage, by its label."""
    return {
        "run": status.run,
        "state": status.state,
        "note": status.note,
        "now": round(now, 3),
        "stages": {
            stage.name: {
                "state": stage.state,
                "started": stage.started,
                "ended": stage.ended,
                "attempts": stage.attempts,
                "message": stage.message,
                "progress": progress_words(stage),
            }
            for stage in status.stages
        },
    }


def _details(run: Path, told: Mapping[str, Any]) -> Iterator[Detail]:
    """Of each stage, in the plan's order; one that is reused has no manifest in this run."""
    for fact in told["stages"]:
        manifest, legs = run / manifest_name(fact["name"]), range(max(1, len(fact["phases"])))
        scripts = [file for leg in legs if (file := run / script_name(fact["name"], leg)).is_file()]
        fields = json.loads(manifest.read_bytes())["stage"] if manifest.is_file() else None
        by_hand = f"python -P -m runtime {manifest.resolve()}" if fields else ""
        yield detail(fact, fields, "\n".join(file.read_text(encoding="utf-8") for file in scripts) or by_hand)

"""Stages as JSON: the picture for programs that draw for themselves."""

import json
from typing import Any

from compiler.draw.picture import Facts, Picture

_FACTS = ("action", "reason", "wall_s", "start_s", "gpus", "gpu_hours", "cost", "critical")


def draw_json(picture: Picture, facts: Facts) -> str:
    """`{"name", "stages": [{"name", "kind", "needs", "wave", "frames", …}], "frames": [{"id", "sort", "title"}]}`;
    `frames` of a stage are the ids of those around it, outer first."""
    stages: list[dict[str, Any]] = [
        {
            "name": node.label,
            "kind": node.kind,
            "needs": node.needs,
            "wave": node.wave,
            "frames": picture.paths[node.label][1:-1],
            **{name: facts[node.label][name] for name in _FACTS if node.label in facts},
        }
        for node in picture.nodes
    ]
    frames = [{"id": frame.id, "sort": frame.sort, "title": frame.title} for frame in picture.root.frames() if frame.id]
    return json.dumps({"name": picture.name, "stages": stages, "frames": frames})

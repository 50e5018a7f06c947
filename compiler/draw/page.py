"""Stages as one HTML file: drawn by Bokeh, whose JavaScript is put into the page; it asks nothing of the network.

    scene = scene_of(picture, facts, cluster=…)  # what the page is told, as JSON
    page(scene, details)                         # the file's text; details are asked for stage by stage

`templates/pictures/` holds its words, its style and what is written by hand: folding, searching, telling of a stage.
"""

import base64
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from compiler.draw.arrange import OUTSIDE, Arrangement, arrange
from compiler.draw.colours import colour_of
from compiler.draw.details import Detail
from compiler.draw.picture import Facts, Picture, folded
from compiler.draw.place import SIZES
from compiler.render import render, template_text

TEMPLATE = "pictures/page.html.j2"
_MOST_BOXES = 90
"""That the page opens with."""
_CHUNK = 100
"""Stages whose details are packed together: the page unpacks them when one is asked for."""
_SCRIPTS = ("words", "place", "colours", "drawing", "timeline", "panel", "page")
_FACTS = ("action", "reason", "wall_s", "start_s", "gpu_hours", "cost", "gpus", "critical")


def scene_of(picture: Picture, facts: Facts, *, most: int | None = None, **about: Any) -> dict[str, Any]:
    """What the page draws: boxes, frames with their rows, and a column for each fact. Needs igraph.

    It opens with frames folded where there would be more than about `most` boxes.

    `about`: `cluster`, `totals` as `plan --json` has them, `warnings`; of a run `state` (`compiler/runs/page.py`) and
    `live`: how often to look again, and where a server tells the state.
    """
    number = {node.label: at for at, node in enumerate(picture.nodes)}
    frames = list(picture.root.frames())
    number |= {frame.id: len(picture.nodes) + at for at, frame in enumerate(frames)}
    parents = {inner.id: at for at, frame in enumerate(frames) for inner in frame.members if hasattr(inner, "id")}
    closed = folded(picture, _MOST_BOXES if most is None else most)
    arranged = arrange(picture)
    kinds = dict.fromkeys(node.kind for node in picture.nodes)
    return {
        "name": picture.name,
        "sizes": SIZES,
        "nodes": {
            "label": [node.label for node in picture.nodes],
            "name": [node.name for node in picture.nodes],
            "kind": [node.kind for node in picture.nodes],
            "frame": [number[picture.paths[node.label][-2]] - len(picture.nodes) for node in picture.nodes],
            "needs": [[number[need] for need in node.needs] for node in picture.nodes],
        },
        "frames": [
            {
                "title": frame.title,
                "sort": frame.sort,
                "rounds": frame.num_rounds,
                "parent": parents.get(frame.id),
                "blocks": list(_blocks(arranged, frame.id, number)),
            }
            for frame in frames
        ],
        "folded": [at for at, frame in enumerate(frames) if frame.id in closed],
        "kinds": {kind: colour_of(kind)._asdict() for kind in kinds},
        **about,
        "facts": {name: [facts.get(node.label, {}).get(name) for node in picture.nodes] for name in _FACTS},
    }


def _blocks(arranged: Arrangement, frame: str, number: Mapping[str, int]) -> Iterator[Mapping[str, Any]]:
    def named(name: str) -> int | None:
        return None if name == OUTSIDE else -1 - int(name[1:]) if name[0] == "~" else number[name]

    for block in arranged[frame]:
        yield {
            "rows": [[named(name) for name in row] for row in block.rows],
            "links": [[named(one), named(other), [named(way) for way in via]] for one, other, via in block.links],
        }


def page(scene: Mapping[str, Any], details: Sequence[Detail]) -> str:
    """The file. Needs bokeh. `details` stand in the order of the scene's stages."""
    return render(
        TEMPLATE,
        title=scene["name"],
        style=template_text("pictures/page.css"),
        # Scripts are no templates: their braces are their own.
        scripts=[template_text(f"pictures/{name}.js") for name in _SCRIPTS],
        bokeh=_bokeh(),
        scene=_json(scene),
        details=[_packed(details[at : at + _CHUNK]) for at in range(0, len(details), _CHUNK)],
        chunk=_CHUNK,
    )


def _bokeh() -> str:
    """Bokeh's JavaScript, as its package ships it."""
    from bokeh.resources import Resources

    return "\n".join(Resources(mode="inline", components=["bokeh", "bokeh-api"]).js_raw)


def _json(value: Any) -> str:
    """JSON that may stand in a script element: what is `<` to HTML is an escape to JSON."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _packed(value: Any) -> str:
    return base64.b64encode(gzip.compress(json.dumps(value).encode(), mtime=0)).decode()

"""Stages in Graphviz's language, for `dot -Tsvg` and its like."""

import json
from collections.abc import Iterator, Mapping

from compiler.draw.colours import colour_of
from compiler.draw.picture import Frame, Node, Picture


def draw_dot(picture: Picture) -> str:
    """The digraph: a box a stage with its kind, a cluster around each loop and each round."""
    ids = picture.ids
    frames = {frame.id: f"cluster_{number}" for number, frame in enumerate(picture.root.frames())}
    lines = [
        f"digraph {_quoted(picture.name)} {{",
        '  node [shape=box, style="rounded,filled", fontname="sans-serif", color="#666666"];',
        '  graph [fontname="sans-serif", color="#999999", style=rounded];',
        *_boxes(picture.root, 1, ids, frames),
        *(f"  {ids[need]} -> {ids[label]};" for need, label in picture.edges),
        "}",
    ]
    return "\n".join(lines)


def _boxes(frame: Frame, depth: int, ids: Mapping[str, str], frames: Mapping[str, str]) -> Iterator[str]:
    indent = "  " * depth
    for member in frame.members:
        if isinstance(member, Node):
            text = _quoted(f"{member.name}\n{member.kind}")
            yield f'{indent}{ids[member.label]} [label={text}, fillcolor="{colour_of(member.kind).tint}"];'
            continue
        yield f"{indent}subgraph {frames[member.id]} {{ label={_quoted(member.title)};"
        yield from _boxes(member, depth + 1, ids, frames)
        yield f"{indent}}}"


def _quoted(text: str) -> str:
    """JSON's quotes and escapes are Graphviz's."""
    return json.dumps(text, ensure_ascii=False)

"""Stages as a Mermaid flowchart, which GitHub and many editors draw."""

from collections.abc import Iterator, Mapping

from compiler.draw.colours import colour_of
from compiler.draw.picture import Frame, Node, Picture


def draw_mermaid(picture: Picture) -> str:
    """The flowchart: a box a stage with its kind, a frame around each loop and each round."""
    ids = picture.ids
    kinds = dict.fromkeys(node.kind for node in picture.nodes)
    frames = {frame.id: f"g{number}" for number, frame in enumerate(picture.root.frames())}
    lines = ["flowchart TB", *_boxes(picture.root, 1, ids, frames)]
    lines += [f"  {ids[need]} --> {ids[label]}" for need, label in picture.edges]
    lines += [f"  classDef {kind} fill:{colour_of(kind).tint},stroke:#666,color:#111" for kind in kinds]
    return "\n".join(lines)


def _boxes(frame: Frame, depth: int, ids: Mapping[str, str], frames: Mapping[str, str]) -> Iterator[str]:
    indent = "  " * depth
    for member in frame.members:
        if isinstance(member, Node):
            text = f"{_escaped(member.name)}<br/><small>{_escaped(member.kind)}</small>"
            yield f'{indent}{ids[member.label]}["{text}"]:::{member.kind}'
            continue
        yield f'{indent}subgraph {frames[member.id]}["{_escaped(member.title)}"]'
        yield from _boxes(member, depth + 1, ids, frames)
        yield f"{indent}end"


def _escaped(text: str) -> str:
    """Mermaid reads `#` as the start of an entity and `"` as the end of the text."""
    return text.replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")

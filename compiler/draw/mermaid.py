"""A stage graph as a Mermaid flowchart, which GitHub and many editors draw."""

from collections.abc import Iterator, Mapping

from compiler.draw.colours import colour_of
from compiler.draw.grouping import Group, group_stages, short_name
from compiler.graph import StageGraph


def draw_mermaid(graph: StageGraph) -> str:
    """The flowchart: a box a stage with its kind, a frame around each loop and each round."""
    ids = {label: f"s{number}" for number, label in enumerate(graph.order())}
    kinds = dict.fromkeys(graph.stage(label).kind for label in graph.order())
    lines = ["flowchart TB", *_boxes(group_stages(graph), 1, graph, ids)]
    lines += [f"  {ids[ref]} --> {ids[label]}" for label in graph.order() for ref in graph.inputs(label)]
    lines += [f"  classDef {kind} fill:{colour_of(kind)},stroke:#666,color:#111" for kind in kinds]
    return "\n".join(lines)


def _boxes(group: Group, depth: int, graph: StageGraph, ids: Mapping[str, str]) -> Iterator[str]:
    indent = "  " * depth
    for number, member in enumerate(group.members):
        if isinstance(member, str):
            kind = graph.stage(member).kind
            text = f"{_escaped(short_name(member))}<br/><small>{_escaped(kind)}</small>"
            yield f'{indent}{ids[member]}["{text}"]:::{kind}'
            continue
        yield f'{indent}subgraph g{ids[_first(member)]}_{depth}_{number}["{_escaped(member.title)}"]'
        yield from _boxes(member, depth + 1, graph, ids)
        yield f"{indent}end"


def _first(group: Group) -> str:
    """The first stage inside: it makes the frame's id unique."""
    member = group.members[0]
    return member if isinstance(member, str) else _first(member)


def _escaped(text: str) -> str:
    """Mermaid reads `#` as the start of an entity and `"` as the end of the text."""
    return text.replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")

"""A stage graph in Graphviz's language, for `dot -Tsvg` and its like."""

import json
from collections.abc import Iterator, Mapping

from compiler.draw.colours import colour_of
from compiler.draw.grouping import Group, group_stages, short_name
from compiler.graph import StageGraph


def draw_dot(graph: StageGraph) -> str:
    """The digraph: a box a stage with its kind, a cluster around each loop and each round."""
    ids = {label: f"s{number}" for number, label in enumerate(graph.order())}
    lines = [
        f"digraph {_quoted(graph.name)} {{",
        '  node [shape=box, style="rounded,filled", fontname="sans-serif", color="#666666"];',
        '  graph [fontname="sans-serif", color="#999999", style=rounded];',
        *_boxes(group_stages(graph), 1, graph, ids),
        *(f"  {ids[ref]} -> {ids[label]};" for label in graph.order() for ref in graph.inputs(label)),
        "}",
    ]
    return "\n".join(lines)


def _boxes(group: Group, depth: int, graph: StageGraph, ids: Mapping[str, str]) -> Iterator[str]:
    indent = "  " * depth
    for number, member in enumerate(group.members):
        if isinstance(member, str):
            kind = graph.stage(member).kind
            text = _quoted(f"{short_name(member)}\n{kind}")
            yield f'{indent}{ids[member]} [label={text}, fillcolor="{colour_of(kind)}"];'
            continue
        yield f"{indent}subgraph cluster_{depth}_{number}_{_first(member, ids)} {{ label={_quoted(member.title)};"
        yield from _boxes(member, depth + 1, graph, ids)
        yield f"{indent}}}"


def _first(group: Group, ids: Mapping[str, str]) -> str:
    member = group.members[0]
    return ids[member] if isinstance(member, str) else _first(member, ids)


def _quoted(text: str) -> str:
    """JSON's quotes and escapes are Graphviz's."""
    return json.dumps(text, ensure_ascii=False)

"""Stages that need themselves, each circle told once."""

from collections.abc import Iterator, Mapping

import networkx as nx

from compiler.elaborate import ProgramStage
from compiler.reading.problems import Problems


def note_circles(
    upstream: Mapping[str, tuple[str, ...]], stages: Mapping[str, ProgramStage], problems: Problems
) -> None:
    """Notes every circle among the edges; `upstream` gives what each stage needs."""
    edges: nx.DiGraph[str] = nx.DiGraph((need, label) for label, needs in upstream.items() for need in needs)
    for component in list(nx.strongly_connected_components(edges)):
        first = min(component, key=lambda label: stages[label].at)
        if len(component) == 1 and not edges.has_edge(first, first):
            continue
        circle = [label.partition("@")[0] for label in _circle(edges, component, first)]
        message = f"needs itself: {' -> '.join([*circle, circle[0]])}"
        hint = "each stage is followed by one that needs it"
        problems.add(stages[first].at, stages[first].path, message, "cycle", hint=hint)


def _circle(edges: "nx.DiGraph[str]", component: set[str], first: str) -> Iterator[str]:
    """A shortest circle through `first`, as stages each needed by the next."""
    inside = edges.subgraph(component)
    ends = set(inside.predecessors(first))
    if first in ends:
        yield first
        return
    paths = nx.single_source_shortest_path(inside, first)
    yield from min((paths[end] for end in ends), key=len)

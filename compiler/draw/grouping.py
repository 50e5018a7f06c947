"""The stages of a graph as they were written: sweep points, and in them loops, rounds and stages."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from compiler.graph import StageGraph


@dataclass
class Group:
    """A point of the sweep, a loop, or one of its rounds; stages and inner groups in written order."""

    title: str
    members: "list[Group | str]" = field(default_factory=list)
    """Inner groups, and labels of stages."""


def group_stages(graph: StageGraph) -> Group:
    """The whole graph as one group, whose title is the experiment's name."""
    root = Group(graph.name)
    groups: dict[tuple[str, ...], Group] = {(): root}
    for label in graph.order():
        at = root
        keys: tuple[str, ...] = ()
        for key, title in _path(label):
            keys = (*keys, key)
            if keys not in groups:
                groups[keys] = Group(title)
                at.members.append(groups[keys])
            at = groups[keys]
        at.members.append(label)
    return root


def _path(label: str) -> Iterator[tuple[str, str]]:
    """The groups around a stage: its point, then loop and round by turns."""
    base, _, point = label.partition("@")
    if point:
        yield f"@{point}", point.replace(",", ", ")
    parts = base.split(".")
    for index in range(0, len(parts) - 1, 2):
        yield parts[index], parts[index]
        yield parts[index + 1], f"{parts[index]} {parts[index + 1]}"


def short_name(label: str) -> str:
    """The stage's own name, without the groups around it."""
    return label.partition("@")[0].rpartition(".")[2]


def name_from(label: str, viewer: str) -> str:
    """How one stage would call another: what they have in common is left out."""
    base, _, point = label.partition("@")
    own, _, own_point = viewer.partition("@")
    prefix = own.rpartition(".")[0]
    if prefix and base.startswith(f"{prefix}.") and "." not in base[len(prefix) + 1 :]:
        base = base[len(prefix) + 1 :]
    return base if point == own_point or not point else f"{base}@{point}"

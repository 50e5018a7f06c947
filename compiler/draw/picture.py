"""What every drawing of stages is drawn from: boxes, the frames around them, and the arrows between them.

picture = picture_of(graph)               # or of a plan's or a run's stages: make_picture(name, boxes)
picture.nodes                             # a box a stage, those that it needs before it
picture.root                              # the frames as they were written: sweep points, loops, rounds
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from compiler.graph import StageGraph

Facts = Mapping[str, Mapping[str, Any]]
"""Label -> the stage as `plan --json` tells it; of a picture without a plan it is empty."""
Sort = Literal["recipe", "point", "loop", "round"]


@dataclass(frozen=True)
class Node:
    """The box of one stage."""

    label: str
    kind: str
    needs: tuple[str, ...]
    """Labels of the boxes that arrows come from."""
    wave: int
    """From 1 on: stages of one wave can run side by side once the waves before are done."""

    @property
    def name(self) -> str:
        """The stage's own name, without the frames around it."""
        return self.label.partition("@")[0].rpartition(".")[2]


@dataclass(frozen=True)
class Frame:
    """A point of the sweep, a loop, one of its rounds, or the whole recipe."""

    id: str
    """`@seed=1/rpo/2`; empty of the whole recipe."""
    sort: Sort
    title: str
    members: "tuple[Frame | Node, ...]"
    """In written order."""

    def nodes(self) -> Iterator[Node]:
        """Every box inside, at any depth."""
        for member in self.members:
            if isinstance(member, Node):
                yield member
            else:
                yield from member.nodes()

    def frames(self) -> Iterator["Frame"]:
        """This frame and every one inside, outer before inner."""
        yield self
        for member in self.members:
            if isinstance(member, Frame):
                yield from member.frames()

    @property
    def num_rounds(self) -> int:
        """Of a loop."""
        return sum(isinstance(member, Frame) and member.sort == "round" for member in self.members)


@dataclass(frozen=True)
class Picture:
    """All boxes and frames."""

    name: str
    nodes: tuple[Node, ...]
    root: Frame

    @property
    def edges(self) -> Iterator[tuple[str, str]]:
        """Every arrow: the label that is needed, the label that needs it."""
        return ((need, node.label) for node in self.nodes for need in node.needs)

    @cached_property
    def paths(self) -> Mapping[str, tuple[str, ...]]:
        """Of each label: the ids of the frames around it, the whole recipe's first, and the label."""
        return dict(_paths(self.root, ()))

    @cached_property
    def ids(self) -> Mapping[str, str]:
        """A short id for each label, where a format asks for one."""
        return {node.label: f"s{number}" for number, node in enumerate(self.nodes)}


def picture_of(graph: StageGraph) -> Picture:
    """The picture of a compiled recipe."""
    stages = ((label, graph.stage(label).kind, tuple(graph.inputs(label))) for label in graph.order())
    return make_picture(graph.name, stages)


def picture_of_plan(told: Mapping[str, Any]) -> tuple[Picture, Facts]:
    """The picture of a plan as `plan --json` and a run's `plan.json` tell it."""
    stages = ((stage["name"], stage["kind"], tuple(stage["needs"])) for stage in told["stages"])
    return make_picture(told["name"], stages), {stage["name"]: stage for stage in told["stages"]}


def make_picture(name: str, stages: Iterable[tuple[str, str, tuple[str, ...]]]) -> Picture:
    """`stages`: label, kind and needs of each, in topological order."""
    waves: dict[str, int] = {}
    nodes = []
    root: _Open = _Open("", "recipe", name, [])
    opened: dict[str, _Open] = {"": root}
    for label, kind, needs in stages:
        waves[label] = 1 + max((waves[need] for need in needs), default=0)
        node = Node(label, kind, needs, waves[label])
        nodes.append(node)
        at = root
        for inner in _around(label):
            if inner.id not in opened:
                opened[inner.id] = inner
                at.members.append(inner)
            at = opened[inner.id]
        at.members.append(node)
    return Picture(name, tuple(nodes), _closed(root))


def _paths(frame: Frame, above: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    around = (*above, frame.id)
    for member in frame.members:
        if isinstance(member, Node):
            yield member.label, (*around, member.label)
        else:
            yield from _paths(member, around)


def parting(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """The first place at which two paths differ: before it stands the innermost frame around both."""
    return next(at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)


class _Open(NamedTuple):
    """A frame to which members are still added."""

    id: str
    sort: Sort
    title: str
    members: "list[_Open | Node]"


def _closed(frame: _Open) -> Frame:
    members = tuple(_closed(member) if isinstance(member, _Open) else member for member in frame.members)
    return Frame(frame.id, frame.sort, frame.title, members)


def _around(label: str) -> Iterator[_Open]:
    """The frames around a stage, outer first: its point, then loop and round by turns."""
    base, _, point = label.partition("@")
    path = ""
    if point:
        path = f"@{point}/"
        yield _Open(path, "point", point.replace(",", ", "), [])
    parts = base.split(".")
    for index in range(0, len(parts) - 1, 2):
        loop, number = parts[index], parts[index + 1]
        path += f"{loop}/"
        yield _Open(path, "loop", loop, [])
        path += f"{number}/"
        yield _Open(path, "round", f"{loop} {number}", [])


def folded(picture: Picture, most: int) -> frozenset[str]:
    """The ids of the frames to fold so that about `most` boxes are seen: outer frames are opened before inner ones, all
    rounds of a loop or none."""
    closed = {frame.id for frame in picture.root.frames()} - {""}
    seen = len(picture.root.members)
    level = [picture.root]
    while level:
        inner = [member for frame in level for member in frame.members if isinstance(member, Frame)]
        more = sum(len(frame.members) - 1 for frame in inner)
        if seen + more > most:
            break
        seen += more
        closed -= {frame.id for frame in inner}
        level = inner
    return frozenset(closed)


def name_from(label: str, viewer: str) -> str:
    """How one stage would call another: what they have in common is left out."""
    base, _, point = label.partition("@")
    own, _, own_point = viewer.partition("@")
    prefix = own.rpartition(".")[0]
    if prefix and base.startswith(f"{prefix}.") and "." not in base[len(prefix) + 1 :]:
        base = base[len(prefix) + 1 :]
    return base if point == own_point or not point else f"{base}@{point}"

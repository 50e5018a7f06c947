"""Which box stands in which row: the members of every frame in layers with few crossings, by igraph's Sugiyama layout.

    arranged = arrange(picture)               # id of a frame -> its blocks, which no arrow joins
    block.rows                                # members from top to bottom; what an arrow needs stands above its point
    block.links                               # arrows between members, with the waypoints that lead around boxes

A frame is one member of the frame around it, so an arrow from inside one frame into another joins the two members that
they are, or are in, of the innermost frame around both. Where things stand is `place.py`'s matter, or the page's: that
changes when a frame is folded, the rows do not.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from compiler.draw.picture import Frame, Node, Picture, parting

if TYPE_CHECKING:
    import igraph


class Link(NamedTuple):
    """An arrow between two members of a frame."""

    source: str
    target: str
    via: tuple[str, ...]
    """A waypoint in each row between, from the source on; `~` begins its name, which no label does."""


@dataclass(frozen=True)
class Block:
    """Members that arrows join."""

    rows: tuple[tuple[str, ...], ...]
    links: tuple[Link, ...]


Arrangement = Mapping[str, tuple[Block, ...]]
"""Id of a frame -> its blocks."""


OUTSIDE = ""
"""The end of a link that leads out of its frame."""


def arrange(picture: Picture) -> Arrangement:
    """The rows of every frame. Needs igraph."""
    links = _links(picture)
    first = {node.label: number for number, node in enumerate(picture.nodes)}
    for frame in reversed(list(picture.root.frames())):
        first[frame.id] = min(first[_id(member)] for member in frame.members)
    return {frame.id: tuple(_blocks(frame, links.get(frame.id, {}), first)) for frame in picture.root.frames()}


def _id(member: Frame | Node) -> str:
    return member.label if isinstance(member, Node) else member.id


_Pairs = Mapping[tuple[str, str], None]


def _links(picture: Picture) -> Mapping[str, _Pairs]:
    """Id of a frame -> the pairs of its members that arrows join, each once, and those that arrows from outside come to
    or go out from."""
    found: dict[str, dict[tuple[str, str], None]] = {}
    for need, label in picture.edges:
        one, other = picture.paths[need], picture.paths[label]
        at = parting(one, other)
        found.setdefault(one[at - 1], {})[one[at], other[at]] = None
        for frame, member in pairwise(one[at:]):
            found.setdefault(frame, {})[member, OUTSIDE] = None
        for frame, member in pairwise(other[at:]):
            found.setdefault(frame, {})[OUTSIDE, member] = None
    return found


def _blocks(frame: Frame, links: _Pairs, first: Mapping[str, int]) -> Iterator[Block]:
    within = [link for link in links if OUTSIDE not in link]
    members = _order(sorted((_id(member) for member in frame.members), key=first.__getitem__), within)
    number = {member: at for at, member in enumerate(members)}
    pairs = {(number[source], number[target]) for source, target in within}
    # An arrow that goes back (two frames may need each other's stages) is laid as if it went forth.
    joined = sorted({(min(pair), max(pair)) for pair in pairs})
    for part in _parts(len(members), joined):
        local = {at: index for index, at in enumerate(part)}
        inner = tuple((local[a], local[b]) for a, b in joined if a in local)
        enter = tuple(index for index, at in enumerate(part) if (OUTSIDE, members[at]) in links)
        leave = tuple(index for index, at in enumerate(part) if (members[at], OUTSIDE) in links)
        rows, ways = _rows(len(part), inner, enter, leave)
        names: dict[int | None, str] = {None: OUTSIDE, **{index: members[at] for index, at in enumerate(part)}}

        def named(ids: Iterable[int | None], names: Mapping[int | None, str] = names) -> tuple[str, ...]:
            return tuple(names.get(one, f"~{one}") for one in ids)

        laid: list[Link] = []
        for (one, other), way in ways:
            (source, target), via = named((one, other)), named(way)
            forth = OUTSIDE in (source, target) or (part[one or 0], part[other or 0]) in pairs
            back = OUTSIDE not in (source, target) and (part[other or 0], part[one or 0]) in pairs
            laid += [Link(source, target, via)] * forth + [Link(target, source, via[::-1])] * back
        yield Block(tuple(map(named, rows)), tuple(laid))


def _order(members: Sequence[str], links: Sequence[tuple[str, str]]) -> Sequence[str]:
    """Each after those that arrows come to it from, else as given; of a circle the first of its members comes first."""
    number = {member: at for at, member in enumerate(members)}
    missing = dict.fromkeys(members, 0)
    after: dict[str, list[str]] = {member: [] for member in members}
    for source, target in links:
        missing[target] += 1
        after[source].append(target)
    ready = [at for at, member in enumerate(members) if not missing[member]]
    order: dict[str, None] = {}
    for fallback in members:
        while ready:
            member = members[heapq.heappop(ready)]
            if member in order:
                continue
            order[member] = None
            for target in after[member]:
                missing[target] -= 1
                if not missing[target]:
                    heapq.heappush(ready, number[target])
        if fallback not in order:
            ready.append(number[fallback])
    return list(order) + [member for member in members if member not in order]


def _parts(size: int, joined: Sequence[tuple[int, int]]) -> Sequence[Sequence[int]]:
    """Members that arrows join, the first member's first."""
    return list(_graph(size, joined).connected_components(mode="weak"))


def _graph(size: int, joined: Sequence[tuple[int, int]]) -> "igraph.Graph":
    # Imported here, because only drawings need it, and it is not in the base install.
    import igraph

    return igraph.Graph(size, joined, directed=True)


_Ends = tuple[int | None, int | None]


@cache
def _rows(
    size: int, joined: tuple[tuple[int, int], ...], enter: tuple[int, ...], leave: tuple[int, ...]
) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[_Ends, tuple[int, ...]], ...]]:
    """The rows, and the waypoints of each arrow; waypoints are numbered from `size` on. Arrows from one member share
    them, as do those from outside, which come from above the first row, and those that go out below the last. Rounds
    and points of a sweep look alike, so most are known already."""
    layers = [layer + 1 for layer in _layers(size, joined)]
    last = max(layers) + 1
    ways: list[tuple[_Ends, tuple[int, ...]]] = []
    steps: dict[tuple[int, int], None] = {}

    def lay(ends: _Ends, way: Sequence[int]) -> None:
        ways.append((ends, tuple(way)))
        steps.update(dict.fromkeys(pairwise(at for at in (ends[0], *way, ends[1]) if at is not None)))

    def lane(start: int, end: int) -> range:
        """New waypoints in the rows between."""
        layers.extend(range(start + 1, end))
        return range(len(layers) - max(0, end - start - 1), len(layers))

    targets: dict[int | None, list[int]] = {}
    for one, other in (*joined, *((None, one) for one in enter)):
        targets.setdefault(one, []).append(other)
    for source, found in targets.items():
        start = -1 if source is None else layers[source]
        shared = lane(start, max(layers[target] for target in found))
        for target in found:
            lay((source, target), shared[: layers[target] - start - 1])
    start = min((layers[source] for source in leave), default=last)
    shared = lane(start, last + 1)
    for source in leave:
        lay((source, None), shared[layers[source] - start :])
    layout = _graph(len(layers), list(steps)).layout_sugiyama(layers=layers, maxiter=200)
    rows: list[list[int]] = [[] for _ in range(last + 1)]
    for vertex in sorted(range(len(layers)), key=lambda vertex: layout[vertex][0]):
        rows[layers[vertex]].append(vertex)
    return tuple(tuple(row) for row in rows if row), tuple(ways)


def _layers(size: int, joined: Sequence[tuple[int, int]]) -> list[int]:
    """As high as what they need allows, but no higher than is of use: what many need stays, what needs little goes
    down to those that need it. Arrows go from smaller numbers to larger."""
    after: list[list[int]] = [[] for _ in range(size)]
    before: list[list[int]] = [[] for _ in range(size)]
    for one, other in joined:
        after[one].append(other)
        before[other].append(one)
    layers = [0] * size
    for at in range(size):
        layers[at] = max((layers[one] + 1 for one in before[at]), default=0)
    for at in reversed(range(size)):
        if after[at] and len(after[at]) >= len(before[at]):
            layers[at] = min(layers[one] for one in after[at]) - 1
    return layers

"""Where every box stands: rows from top to bottom, each box as near as can be to those that it is joined with.

    placed = place(picture, arrange(picture), folded=frozenset())
    placed.boxes["base"]                      # its corner and size, in points; y grows downwards
    placed.lines                              # the arrows, through their waypoints

The page does the same again when a frame is folded (`templates/pictures/place.js`); a test holds the two equal.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import sqrt
from typing import NamedTuple

from compiler.draw.arrange import OUTSIDE, Arrangement, Block
from compiler.draw.picture import Frame, Node, Picture, parting

SIZES = {
    "node_width": 176, "node_height": 46, "card_width": 200, "card_height": 58, "gap_x": 18, "gap_y": 40, "gap_way": 14,
    "way": 8, "pad": 18, "head": 34, "between": 36, "aspect": 1.6, "sweeps": 16, "straight": 6,
}  # fmt: skip
"""Points; the page is told the same."""


class Box(NamedTuple):
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float


class Line(NamedTuple):
    """An arrow that is seen: between two boxes, or the cards of folded frames."""

    source: str
    target: str
    points: tuple[tuple[float, float], ...]
    """From the source's lower edge to the target's upper one; every two after the first are the ends of a waypoint."""


@dataclass
class Placed:
    """The whole drawing."""

    width: float = 0
    height: float = 0
    boxes: dict[str, Box] = field(default_factory=dict)
    """By label of a stage, or id of a frame; what is folded away is not there."""
    lines: tuple[Line, ...] = ()


def place(picture: Picture, arranged: Arrangement, folded: frozenset[str]) -> Placed:
    """Everything in its place; frames in `folded` are cards."""
    drawn = _Drawing(arranged, folded)
    size = drawn.inside(picture.root)
    placed = Placed(size.width, size.height, dict(drawn.absolute(picture.root, 0, 0)))
    placed.lines = tuple(_lines(picture, arranged, placed.boxes, drawn.ways, drawn.floors))
    return placed


_Ways = Mapping[tuple[str, str], Box]
"""(frame, waypoint) -> where it is."""


class _Inside(NamedTuple):
    """The members of a frame from its upper left corner."""

    width: float
    height: float
    boxes: Mapping[str, Box]
    """By member; those of waypoints by block and name."""
    floors: Mapping[str, float]
    """By member: the lower edge of its row."""


class _Drawing:
    """Sizes from the inside out, then places from the outside in."""

    def __init__(self, arranged: Arrangement, folded: frozenset[str]) -> None:
        self._arranged, self._folded = arranged, folded
        self._frames: dict[str, _Inside] = {}
        self.ways: dict[tuple[str, str], Box] = {}
        """(frame, waypoint of a block) -> where it is."""
        self.floors: dict[str, float] = {}
        """Member -> the lower edge of its row."""

    def inside(self, frame: Frame) -> _Inside:
        sizes = {"~": (float(SIZES["way"]), 0.0)}
        for member in frame.members:
            if isinstance(member, Node):
                sizes[member.label] = SIZES["node_width"], SIZES["node_height"]
            elif member.id in self._folded:
                sizes[member.id] = SIZES["card_width"], SIZES["card_height"]
            else:
                inner = self.inside(member)
                sizes[member.id] = (
                    inner.width + 2 * SIZES["pad"],
                    inner.height + SIZES["pad"] + SIZES["head"],
                )
        blocks = [_block(block, sizes) for block in self._arranged[frame.id]]
        self._frames[frame.id] = _packed(blocks)
        return self._frames[frame.id]

    def absolute(self, frame: Frame, x: float, y: float) -> Iterator[tuple[str, Box]]:
        inside = self._frames[frame.id]
        for name, box in inside.boxes.items():
            if "~" in name:
                self.ways[frame.id, name] = box._replace(x=box.x + x, y=box.y + y)
        for member in frame.members:
            name = member.label if isinstance(member, Node) else member.id
            box = inside.boxes[name]
            box = box._replace(x=box.x + x, y=box.y + y)
            self.floors[name] = inside.floors[name] + y
            yield name, box
            if isinstance(member, Frame) and member.id not in self._folded:
                yield from self.absolute(member, box.x + SIZES["pad"], box.y + SIZES["head"])


def _packed(blocks: Sequence[_Inside]) -> _Inside:
    """Blocks side by side on shelves, the highest first, about as wide as a screen."""
    gap = SIZES["between"]
    ordered = sorted(range(len(blocks)), key=lambda number: -blocks[number].height)
    area = sum((block.width + gap) * (block.height + gap) for block in blocks)
    most = max(max(block.width for block in blocks), sqrt(SIZES["aspect"] * area))
    boxes: dict[str, Box] = {}
    floors: dict[str, float] = {}
    x = y = shelf = width = 0.0
    for number in ordered:
        block = blocks[number]
        if x and x + block.width > most:
            x, y, shelf = 0.0, y + shelf + gap, 0.0
        for name, box in block.boxes.items():
            key = f"{number}{name}" if name[0] == "~" else name
            boxes[key] = box._replace(x=box.x + x, y=box.y + y)
        floors.update((name, floor + y) for name, floor in block.floors.items())
        width, shelf = max(width, x + block.width), max(shelf, block.height)
        x += block.width + gap
    return _Inside(width, y + shelf, boxes, floors)


def _block(block: Block, sizes: Mapping[str, tuple[float, float]]) -> _Inside:
    """The rows of a block, one below the other."""
    size = {name: sizes["~" if name[0] == "~" else name] for row in block.rows for name in row}
    centres = _centres(block, {name: width for name, (width, _) in size.items()})
    left = min(centres[name] - size[name][0] / 2 for name in size)
    right = max(centres[name] + size[name][0] / 2 for name in size)
    boxes: dict[str, Box] = {}
    floors: dict[str, float] = {}
    y = 0.0
    for row in block.rows:
        height = max(size[name][1] for name in row)
        for name in row:
            own = height if name[0] == "~" else size[name][1]
            boxes[name] = Box(centres[name] - size[name][0] / 2 - left, y, size[name][0], own)
            floors[name] = y + height
        y += height + (SIZES["gap_y"] if height else SIZES["gap_way"])
    last = max(box.y + box.height for box in boxes.values())
    return _Inside(right - left, last, boxes, floors)


def _centres(block: Block, width: Mapping[str, float]) -> dict[str, float]:
    """The middle of each member: by turns down and up, each row goes to the means of its neighbours' middles, as near
    as order and widths allow (least squares, which is isotonic regression). In the end waypoints of one arrow stand
    below each other where they can."""
    above: dict[str, list[str]] = {name: [] for name in width}
    below: dict[str, list[str]] = {name: [] for name in width}
    row_of = {name: number for number, row in enumerate(block.rows) for name in row}
    ways: dict[str, tuple[str, ...]] = {}
    for link in block.links:
        chain = sorted(filter(None, (link.source, *link.via, link.target)), key=row_of.__getitem__)
        for one, other in pairwise(chain):
            if other not in below[one]:
                below[one].append(other)
                above[other].append(one)
        ways.update((way, link.via) for way in link.via if len(link.via) > len(ways.get(way, ())))
    centres: dict[str, float] = {}
    offsets: list[list[float]] = []
    for row in block.rows:
        at = [0.0]
        for one, other in pairwise(row):
            gap = SIZES["gap_x"] / (2 if "~" in (one[0], other[0]) else 1)
            at.append(at[-1] + width[one] / 2 + gap + width[other] / 2)
        offsets.append(at)
        centres.update((name, place - at[-1] / 2) for name, place in zip(row, at, strict=True))
    last = int(SIZES["sweeps"])
    numbers = range(len(block.rows))
    for sweep in range(last):
        ending = sweep >= last - SIZES["straight"]
        middles = {way: _mean(centres, via) for way, via in ways.items()} if ending else {}
        for number in numbers if sweep % 2 == 0 else reversed(numbers):
            wanted, weights = [], []
            for name, offset in zip(block.rows[number], offsets[number], strict=True):
                near = above[name] + below[name] if ending else (below if sweep % 2 else above)[name]
                middle = middles.get(name, _mean(centres, near) if near else centres[name])
                wanted.append(middle - offset)
                weights.append((6.0 if name[0] == "~" else 1.0) if near else 0.1)
            found = _isotonic(wanted, weights)
            for name, offset, start in zip(block.rows[number], offsets[number], found, strict=True):
                centres[name] = start + offset
    return centres


def _mean(centres: Mapping[str, float], names: Sequence[str]) -> float:
    """Of neighbours' middles; a box counts for more than an arrow that only passes."""
    total = weights = 0.0
    for name in names:
        weight = 1.0 if name[0] == "~" else 5.0
        total += weight * centres[name]
        weights += weight
    return total / weights


def _isotonic(wanted: Sequence[float], weights: Sequence[float]) -> Iterator[float]:
    """The nearest numbers that never fall: neighbours that would are pooled into their mean."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(wanted, weights, strict=True):
        pool = (value, weight, 1)
        while pools and pools[-1][0] > pool[0]:
            mean, heavy, count = pools.pop()
            both = heavy + pool[1]
            pool = ((mean * heavy + pool[0] * pool[1]) / both, both, count + pool[2])
        pools.append(pool)
    for value, _, count in pools:
        yield from (value for _ in range(count))


def _lines(
    picture: Picture, arranged: Arrangement, boxes: Mapping[str, Box], ways: _Ways, floors: Mapping[str, float]
) -> Iterator[Line]:
    """One arrow for each two boxes that are seen."""
    via = {
        (frame, link.source, link.target): tuple((frame, f"{number}{name}") for name in link.via)
        for frame, blocks in arranged.items()
        for number, block in enumerate(blocks)
        for link in block.links
    }
    done: set[tuple[str, str]] = set()
    for need, label in picture.edges:
        one, other = picture.paths[need], picture.paths[label]
        source = max(at for at, name in enumerate(one) if name in boxes)
        target = max(at for at, name in enumerate(other) if name in boxes)
        ends = one[source], other[target]
        if ends[0] == ends[1] or ends in done:
            continue
        done.add(ends)
        at = parting(one, other)
        passed = [
            *((one[depth - 1], one[depth], OUTSIDE) for depth in range(source, at, -1)),
            (one[at - 1], one[at], other[at]),
            *((other[depth - 1], OUTSIDE, other[depth]) for depth in range(at + 1, target + 1)),
        ]
        start, end = boxes[ends[0]], boxes[ends[1]]
        points = [(start.x + start.width / 2, start.y + start.height)]
        for number, link in enumerate(passed):
            if number <= source - at:
                # Past the boxes that are higher than this one and stand in its row.
                points += [(points[-1][0], floors[one[source - number]])] * 2
            for way in via[link]:
                box = ways[way]
                points += [(box.x + box.width / 2, box.y), (box.x + box.width / 2, box.y + box.height)]
        points.append((end.x + end.width / 2, end.y))
        yield Line(*ends, tuple(points))

"""Stages as an SVG: a picture that stands by itself, in light and in dark surroundings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter

from compiler.draw.arrange import arrange
from compiler.draw.colours import Colour, colour_of
from compiler.draw.picture import Facts, Frame, Node, Picture, folded
from compiler.draw.place import Line, Placed, place
from compiler.render import render
from compiler.words import duration

TEMPLATE = "pictures/graph.svg.j2"
_MOST_BOXES = 400
"""With more, frames are folded, unless somebody says how many may be there."""
_EDGE, _TITLE = 24, 58
_LETTERS = {**dict.fromkeys("fijlrt.,:;'|!()[]-", 0.33), **dict.fromkeys("mwMW@", 0.88)}
"""Widths in the font's size, about; others are 0.56, capitals 0.68."""


@dataclass(frozen=True)
class Card:
    """A stage, or a folded frame, as it is drawn."""

    x: float
    y: float
    width: float
    height: float
    title: str
    subtitle: str
    tip: str
    colour: str
    classes: str


@dataclass(frozen=True)
class Outline:
    """An open frame."""

    x: float
    y: float
    width: float
    height: float
    title: str
    sort: str


def draw_svg(picture: Picture, facts: Facts, most: int | None = None) -> str:
    """The picture with its legend; frames are folded where it would have more than about `most` boxes. Needs igraph."""
    closed = folded(picture, _MOST_BOXES if most is None else most)
    placed = place(picture, arrange(picture), closed)
    chain = _chain(picture, placed, facts)
    legend = dict.fromkeys(colour_of(node.kind) for node in picture.nodes)
    return render(
        TEMPLATE,
        name=picture.name,
        subtitle=_subtitle(picture, facts),
        width=round(max(placed.width + 2 * _EDGE, 420), 1),
        height=round(placed.height + _TITLE + 2 * _EDGE, 1),
        left=_EDGE,
        top=_EDGE + _TITLE,
        outlines=list(_outlines(picture.root, placed, closed)),
        cards=list(_cards(picture.root, placed, closed, facts)),
        # The longest chain over all others.
        lines=sorted(((path(line), (line.source, line.target) in chain) for line in placed.lines), key=itemgetter(1)),
        legend=list(_legend(list(legend))),
    )


def _chain(picture: Picture, placed: Placed, facts: Facts) -> set[tuple[str, str]]:
    """The arrows of the longest chain, as they are seen."""
    labels = [node.label for node in picture.nodes if facts.get(node.label, {}).get("critical")]
    seen = [next(name for name in reversed(picture.paths[label]) if name in placed.boxes) for label in labels]
    return set(pairwise(seen))


def path(line: Line) -> str:
    """The arrow as SVG writes it: curves that leave and arrive upright, straight through the rows between."""
    (x, y), *rest = line.points
    parts = [f"M{x:.1f} {y:.1f}"]
    for number, (to_x, to_y) in enumerate(rest):
        if number % 2:
            parts.append(f"L{to_x:.1f} {to_y:.1f}")
        else:
            bend = (to_y - y) / 2
            parts.append(f"C{x:.1f} {y + bend:.1f} {to_x:.1f} {to_y - bend:.1f} {to_x:.1f} {to_y:.1f}")
        x, y = to_x, to_y
    return "".join(parts)


def _legend(colours: Sequence[Colour]) -> Iterator[tuple[float, Colour]]:
    """Each with its distance from the right edge."""
    at = 0.0
    for colour in reversed(colours):
        at += width(colour.meaning, 13) + 36
        yield at, colour


def _subtitle(picture: Picture, facts: Facts) -> str:
    run = sum(fact["action"] == "run" for fact in facts.values())
    text = f"{len(picture.nodes):,} stages"
    return f"{text}, {run:,} to run, {len(picture.nodes) - run:,} reused" if facts else text


def _outlines(frame: Frame, placed: Placed, closed: frozenset[str]) -> Iterator[Outline]:
    for inner in frame.frames():
        if inner.id and inner.id not in closed and inner.id in placed.boxes:
            box = placed.boxes[inner.id]
            x, y, wide, high = (round(value, 1) for value in box)
            yield Outline(x, y, wide, high, inner.title, inner.sort)


def _cards(frame: Frame, placed: Placed, closed: frozenset[str], facts: Facts) -> Iterator[Card]:
    for member in frame.members:
        if isinstance(member, Node):
            fact = facts.get(member.label, {})
            time = duration(fact["wall_s"]) if fact.get("action") == "run" else fact.get("action", "")
            tip = f"{member.label} ({member.kind})" + (f": {fact['action']}, {fact['reason']}" if fact else "")
            classes = f"{fact.get('action', 'run')}{' critical' if fact.get('critical') else ''}"
            subtitle = " · ".join(filter(None, (member.kind, time)))
            yield _card(member.label, placed, member.name, subtitle, tip, colour_of(member.kind), classes)
        elif member.id in closed:
            stages = list(member.nodes())
            actions = {facts.get(node.label, {}).get("action", "run") for node in stages}
            colours = [colour_of(node.kind) for node in stages]
            subtitle = f"{len(stages):,} stages" + (f" in {member.num_rounds} rounds" if member.num_rounds else "")
            classes = "run card" if "run" in actions else "reuse card"
            yield _card(member.id, placed, member.title, subtitle, subtitle, max(colours, key=colours.count), classes)
        else:
            yield from _cards(member, placed, closed, facts)


def _card(name: str, placed: Placed, title: str, subtitle: str, tip: str, colour: Colour, classes: str) -> Card:
    box = placed.boxes[name]
    room = box.width - 26
    x, y, width, height = (round(value, 1) for value in box)
    return Card(x, y, width, height, fitted(title, room, 13.5), fitted(subtitle, room, 11.5), tip, colour.full, classes)


def fitted(text: str, room: float, size: float) -> str:
    """As much of the text as there is room for, by the usual widths of letters."""
    if width(text, size) <= room:
        return text
    kept = next(kept for kept in range(len(text), -1, -1) if width(text[:kept], size) + 0.9 * size <= room)
    return f"{text[:kept]}…"


def width(text: str, size: float) -> float:
    """Of a text in the pages' font, about."""
    return sum(size * _LETTERS.get(letter, 0.68 if letter.isupper() else 0.57) for letter in text)

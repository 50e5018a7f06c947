"""Rows and places: what an arrow needs stands above its point, nothing overlaps, arrows lead around boxes."""

from itertools import combinations, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("igraph")

from compiler.draw.arrange import OUTSIDE, arrange
from compiler.draw.picture import Picture, folded, make_picture, picture_of
from compiler.draw.place import SIZES, Box, Placed, place
from compiler.pipeline import compile_graph

_ROOT = Path(__file__).parents[3]
_RECIPES = [
    _ROOT / "tests" / "compiler" / "recipes" / "small.yaml",
    _ROOT / "specs" / "experiments" / "tiny.yaml",
    _ROOT / "specs" / "experiments" / "nemotron4-340b.yaml",
]


@pytest.fixture(scope="module", params=_RECIPES, ids=lambda path: path.stem)
def picture(request: pytest.FixtureRequest) -> Picture:
    return picture_of(compile_graph(request.param, []))


def overlap(one: Box, other: Box) -> bool:
    return (
        one.x + 1e-6 < other.x + other.width
        and other.x + 1e-6 < one.x + one.width
        and one.y + 1e-6 < other.y + other.height
        and other.y + 1e-6 < one.y + one.height
    )


def seen(picture: Picture, placed: Placed) -> dict[str, Box]:
    """Boxes of stages and folded frames, not of the open frames around them."""
    around = {name for path in picture.paths.values() for name in path[1:-1]}
    open_frames = {
        frame.id
        for frame in picture.root.frames()
        if frame.id in around and any(name in placed.boxes for name in _inside(picture, frame.id))
    }
    return {name: box for name, box in placed.boxes.items() if name not in open_frames}


def _inside(picture: Picture, frame: str) -> list[str]:
    paths = [path for path in picture.paths.values() if frame in path]
    return [path[path.index(frame) + 1] for path in paths]


def check(picture: Picture, closed: frozenset[str]) -> None:
    placed = place(picture, arrange(picture), closed)
    boxes = seen(picture, placed)
    assert not any(overlap(one, other) for one, other in combinations(boxes.values(), 2))
    for name, path in picture.paths.items():
        for outer, inner in pairwise(path[1:]):
            if inner in placed.boxes:
                around, box = placed.boxes[outer], placed.boxes[inner]
                assert around.x <= box.x + 1e-6 and box.x + box.width <= around.x + around.width + 1e-6, name
                assert around.y <= box.y + 1e-6 and box.y + box.height <= around.y + around.height + 1e-6, name
    joined = {
        tuple(next(one for one in reversed(picture.paths[label]) if one in placed.boxes) for label in edge)
        for edge in picture.edges
    }
    assert {(line.source, line.target) for line in placed.lines} == {pair for pair in joined if pair[0] != pair[1]}
    assert len(placed.lines) == len({(line.source, line.target) for line in placed.lines})


def test_nothing_overlaps_and_every_arrow_is_there_open_and_folded(picture: Picture) -> None:
    check(picture, frozenset())
    check(picture, folded(picture, 40))
    check(picture, frozenset(frame.id for frame in picture.root.frames()) - {""})


def test_what_is_needed_stands_above(picture: Picture) -> None:
    for blocks in arrange(picture).values():
        for block in blocks:
            row = {name: number for number, names in enumerate(block.rows) for name in names}
            for link in block.links:
                ends = [name for name in (link.source, link.target) if name != OUTSIDE]
                rows = [row[name] for name in (link.source, *link.via, link.target) if name != OUTSIDE]
                assert rows == list(range(rows[0], rows[0] + len(rows))), ends


def test_arrows_lead_around_boxes(picture: Picture) -> None:
    """Straight stretches through a row touch no box of it."""
    placed = place(picture, arrange(picture), frozenset())
    boxes = seen(picture, placed)
    for line in placed.lines:
        for (x, top), (_, bottom) in zip(line.points[1:-1:2], line.points[2:-1:2], strict=True):
            for name, box in boxes.items():
                through = box.x + 1 < x < box.x + box.width - 1 and top < box.y + box.height - 1 and box.y + 1 < bottom
                assert not through, (line.source, line.target, name)


def test_parts_that_nothing_joins_fill_about_a_screen() -> None:
    steps = [(chain, step) for chain in range(100) for step in range(5)]
    picture = make_picture(
        "chains", ((f"a{chain}_{step}", "mix", (f"a{chain}_{step - 1}",) if step else ()) for chain, step in steps)
    )
    placed = place(picture, arrange(picture), frozenset())
    assert 0.5 < placed.width / placed.height / SIZES["aspect"] < 2


@st.composite
def _pictures(draw: st.DrawFn) -> Picture:
    labels: list[str] = []
    stages = []
    for number in range(draw(st.integers(1, 14))):
        where = draw(st.sampled_from(["", "l.1.", "l.2.", "m.1.n.1.", "m.1."]))
        needs = draw(st.lists(st.sampled_from(labels), unique=True, max_size=3)) if labels else []
        labels.append(f"{where}s{number}")
        stages.append((labels[-1], "mix", tuple(needs)))
    return make_picture("any", stages)


@settings(max_examples=60, deadline=None)
@given(_pictures(), st.data())
def test_any_graph_can_be_drawn_even_where_frames_need_each_other(picture: Picture, data: st.DataObject) -> None:
    frames = [frame.id for frame in picture.root.frames() if frame.id]
    check(picture, frozenset(data.draw(st.lists(st.sampled_from(frames), unique=True)) if frames else ()))

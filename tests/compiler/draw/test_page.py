"""The page in a real browser: opened, searched, folded, clicked, and without a word on the console."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip("igraph")
pytest.importorskip("bokeh")

from compiler.cli import main
from compiler.draw.arrange import arrange
from compiler.draw.data import draw_json
from compiler.draw.page import page as written
from compiler.draw.page import scene_of
from compiler.draw.picture import Picture, make_picture, picture_of_plan
from compiler.draw.place import place
from compiler.draw.svg import draw_svg
from compiler.pipeline import compile_plan
from compiler.plan import Plan, plan_json

_ROOT = Path(__file__).parents[3]
_TINY = _ROOT / "specs" / "experiments" / "tiny.yaml"
_DOCS = _ROOT / "docs"
_REPORT = _ROOT / "specs" / "experiments" / "nemotron4-340b.yaml"
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def plan(store: Path) -> Plan:
    return compile_plan(_TINY, [], cluster="laptop", store=store)


@pytest.fixture(scope="module")
def tiny(store: Path, plan: Plan) -> Path:
    file = store / "tiny.html"
    assert main(["graph", str(_TINY), "--store", str(store), "--out", str(file)]) == 0
    return file


@pytest.fixture(scope="module")
def report(store: Path) -> Path:
    file = store / "report.html"
    assert main(["graph", str(_REPORT), "--cluster", "h100-768", "--store", str(store), "--out", str(file)]) == 0
    return file


def member(page: Any, name: str) -> int:
    """The number of a stage by its label, or of a frame by its title."""
    found = page.evaluate(
        "name => { const { nodes, frames } = rung.scene, at = nodes.label.indexOf(name);"
        " return at >= 0 ? at : nodes.label.length + frames.findIndex(frame => frame.title === name); }",
        name,
    )
    return int(found)


_WHERE = """member => {
    const { x, y } = rung.placed.boxes.get(member), { drawing } = rung;
    const { left, top } = document.getElementById("graph").getBoundingClientRect();
    return [left + (x + 30 - drawing.x.start) * drawing.scale, top + (y + 16 - drawing.y.end) * drawing.scale];
}"""
_SHOW_CORNER = """member => {
    const { x, y } = rung.placed.boxes.get(member), { drawing } = rung;
    drawing.view(x - 40, y - 40, drawing.scale);
}"""
_PLACE = """closed => {
    const { boxes, lines } = rung.place(new Set(closed));
    return { boxes: [...boxes], lines };
}"""


def click(page: Any, name: str) -> None:
    """Where its name stands, brought into sight first."""
    page.evaluate("member => rung.drawing.centre(member)", member(page, name))
    page.wait_for_timeout(100)
    x, y = page.evaluate(_WHERE, member(page, name))
    room = page.locator("#graph").bounding_box()
    if not (room["y"] < y < room["y"] + room["height"] and room["x"] < x < room["x"] + room["width"]):
        page.evaluate(_SHOW_CORNER, member(page, name))
        x, y = page.evaluate(_WHERE, member(page, name))
    page.mouse.click(x, y)


def is_seen(page: Any, name: str) -> bool:
    return bool(page.evaluate("member => rung.placed.boxes.has(member)", member(page, name)))


def test_the_search_finds_a_stage_in_a_folded_loop_and_shows_it(tiny: Path, open_page: Open) -> None:
    page = open_page(tiny)
    page.click("#fold")
    assert not is_seen(page, "rpo.2.train")
    page.keyboard.press("/")
    page.keyboard.type("rpo train")
    page.wait_for_selector("#found li")
    assert page.locator("#found li b").all_text_contents() == ["rpo.1.train", "rpo.2.train", "rpo.3.train"]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert is_seen(page, "rpo.2.train")
    assert page.locator("#panel h2").text_content() == "rpo.2.train"


def test_a_click_on_a_stage_tells_its_fields_needs_cost_and_script(report: Path, open_page: Open) -> None:
    page = open_page(report)
    click(page, "late")
    page.wait_for_selector("#panel pre")
    text = page.locator("#panel").inner_text()
    assert page.locator("#panel h2").text_content() == "late"
    needs = page.locator("h3:text-is('Needs') + ul a").all_text_contents()
    assert needs == ["early", "tokenizer", "english_tokens", "multilingual_tokens", "code_tokens"]
    assert "base" in page.locator("h3:text-is('Needed by') + ul a").all_text_contents()
    fields, script = page.locator("#panel pre").all_text_contents()
    assert re.search(r"^init: early$", fields, re.MULTILINE)
    assert script.startswith("#!") and "#SBATCH --nodes=768" in script
    for tile in ("Planned time", "GPU-hours", "Cost", "Memory of a GPU"):
        assert tile in text
    page.click("h3:text-is('Needs') + ul a >> nth=0")
    assert page.locator("#panel h2").text_content() == "early"
    page.keyboard.press("Escape")
    assert "To run" in page.locator("#panel").inner_text()


def test_a_frame_opens_and_closes_by_a_click(tiny: Path, open_page: Open) -> None:
    page = open_page(tiny)
    page.click("#fold")
    click(page, "rpo")
    assert is_seen(page, "rpo 1") and not is_seen(page, "rpo.1.train")
    click(page, "rpo 1")
    assert is_seen(page, "rpo.1.train")
    click(page, "rpo")
    assert not is_seen(page, "rpo 1")
    page.click("#unfold")
    assert page.evaluate("rung.placed.boxes.size") == page.evaluate(
        "rung.scene.nodes.label.length + rung.scene.frames.length - 1"
    )


def test_the_page_places_everything_as_the_drawing_in_python_does(plan: Plan, tiny: Path, open_page: Open) -> None:
    picture, _ = picture_of_plan(plan_json(plan))
    arranged = arrange(picture)
    frames = [frame.id for frame in picture.root.frames()]
    names = [node.label for node in picture.nodes] + frames
    page = open_page(tiny)
    for closed in ((), ("rpo/",), ("rpo/2/", "ladder/")):
        placed = place(picture, arranged, frozenset(closed))
        there = page.evaluate(_PLACE, [frames.index(frame) for frame in closed])
        boxes = {names[at]: [box["x"], box["y"], box["width"], box["height"]] for at, box in there["boxes"]}
        assert boxes.keys() == placed.boxes.keys()
        for name, box in placed.boxes.items():
            assert boxes[name] == pytest.approx(box, abs=0.01), name
        lines = {(names[line["source"]], names[line["target"]]): line["points"] for line in there["lines"]}
        assert lines.keys() == {(line.source, line.target) for line in placed.lines}
        for line in placed.lines:
            for point, other in zip(lines[line.source, line.target], line.points, strict=True):
                assert point == pytest.approx(other, abs=0.01)


def test_the_wheel_zooms_dragging_moves_and_fit_shows_everything(tiny: Path, open_page: Open) -> None:
    page = open_page(tiny)
    page.click("#fit")
    whole = page.evaluate("[rung.drawing.x.start, rung.drawing.x.end]")
    page.mouse.move(500, 450)
    page.mouse.wheel(0, -400)
    narrower = "before => rung.drawing.x.end - rung.drawing.x.start < 0.9 * before"
    page.wait_for_function(narrower, arg=whole[1] - whole[0])
    before = page.evaluate("rung.drawing.x.start")
    page.mouse.down()
    page.mouse.move(700, 450, steps=4)
    page.mouse.up()
    page.wait_for_function("before => rung.drawing.x.start < before - 20", arg=before)
    assert page.evaluate("rung.view.selected") is None
    page.keyboard.press("f")
    assert page.evaluate("[rung.drawing.x.start, rung.drawing.x.end]") == pytest.approx(whole)


def test_colours_follow_what_is_asked_and_the_chain_is_drawn(report: Path, open_page: Open) -> None:
    page = open_page(report)
    modes = page.locator("#colour option").all_text_contents()
    assert modes == ["by kind", "run or reuse", "by time", "by GPU-hours", "by cost"]
    seen = set()
    for mode in modes:
        page.select_option("#colour", label=mode)
        seen.add(tuple(page.evaluate("rung.drawing.sources.stripes.data.colour")))
    # One price for every GPU-hour: costs are shaded as GPU-hours are.
    assert len(seen) == len(modes) - 1
    page.click("#unfold")
    page.check("#critical")
    arrows = page.evaluate(
        "[...rung.drawing.sources.lines.data.colour].filter(one => one === rung.drawing.theme.critical)"
    )
    assert len(arrows) == page.evaluate("rung.scene.facts.critical.filter(Boolean).length") - 1


@pytest.mark.parametrize(
    ("form", "begins"), [("svg", "<svg "), ("json", "{"), ("mermaid", "flowchart"), ("dot", "digraph")]
)
def test_the_other_formats_are_printed(
    form: str, begins: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["graph", str(_TINY), "--format", form, "--store", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(begins)


def test_the_svg_is_well_formed_and_has_every_stage(plan: Plan) -> None:
    svg = ElementTree.fromstring(draw_svg(*picture_of_plan(plan_json(plan))))
    tips = [title.text or "" for title in svg.iter("{http://www.w3.org/2000/svg}title")]
    assert sorted(tip.partition(" (")[0] for tip in tips) == sorted(stage.label for stage in plan.stages)
    assert sum(path.get("class") == "arrow critical" for path in svg.iter()) == len(plan.critical) - 1


def test_of_a_picture_with_fewer_boxes_loops_are_folded(plan: Plan) -> None:
    told = picture_of_plan(plan_json(plan))
    svg = ElementTree.fromstring(draw_svg(*told, most=50))
    titles = [text.text for text in svg.iter() if text.get("class") == "title"]
    assert {"rpo 1", "rpo 3", "ladder 2", "dpo"} <= set(titles) and len(titles) <= 50
    assert scene_of(*told, most=50)["folded"] and not scene_of(*told)["folded"]


def test_the_picture_in_the_documentation_is_of_the_recipe_as_it_is(plan: Plan) -> None:
    """`make docs` draws it; times are not compared, as machines and what is known of them change."""

    def boxes(svg: ElementTree.Element) -> list[str]:
        return sorted(text.text or "" for text in svg.iter() if text.get("class") == "title")

    drawn = ElementTree.fromstring(draw_svg(*picture_of_plan(plan_json(plan)), most=50))
    assert boxes(ElementTree.parse(_DOCS / "graph.svg").getroot()) == boxes(drawn)


def test_the_json_says_what_is_around_and_what_it_costs(plan: Plan) -> None:
    told = json.loads(draw_json(*picture_of_plan(plan_json(plan))))
    stages = {stage["name"]: stage for stage in told["stages"]}
    assert stages.keys() == {stage.label for stage in plan.stages}
    assert stages["rpo.2.train"]["frames"] == ["rpo/", "rpo/2/"]
    assert stages["rpo.2.train"]["needs"] == ["rpo.1.train", "rpo.2.pairs"]
    assert all(stages[stage.label]["wall_s"] == stage.wall_s for stage in plan.stages)
    assert {frame["id"] for frame in told["frames"]} >= {"rpo/", "rpo/2/", "ladder/1/"}


def test_what_is_not_installed_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("compiler.commands.graph.find_spec", lambda name: None)
    assert main(["graph", str(_TINY), "--out", str(tmp_path / "page.html"), "--store", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "rung: html pictures need igraph and bokeh: pip install 'rung[pictures]'\n"


def test_the_timeline_has_a_bar_for_each_stage_that_runs(plan: Plan, tiny: Path, open_page: Open) -> None:
    page = open_page(tiny, scheme="dark")
    page.click("#tab-timeline")
    page.wait_for_function("rung.timeline && rung.timeline.rows.length")
    right = page.evaluate("Array.from(rung.timeline.sources.planned.data.right)")
    assert len(right) == len(plan.to_run)
    assert max(right) * 60 == pytest.approx(plan.wall_s)


def test_a_stage_name_is_text_and_never_markup(tmp_path: Path, open_page: Open) -> None:
    picture = make_picture("</script><b>x", [("<img src=x onerror=alert(1)>", "mix", ())])
    file = tmp_path / "page.html"
    details = [{"fields": {"a": "</script>"}, "script": "<b>", "tiles": []}]
    file.write_text(written(scene_of(picture, {}), details), encoding="utf-8")
    page = open_page(file)
    page.evaluate("document.getElementById('search').focus()")
    page.keyboard.type("img")
    page.keyboard.press("Enter")
    page.wait_for_selector("#panel pre")
    assert page.locator("#panel h2").text_content() == "<img src=x onerror=alert(1)>"
    assert page.locator("#panel img, #panel b").count() == 0


def _many(num_stages: int) -> Picture:
    """Half in a sweep of loops, half in chains that no frame holds."""
    stages: list[tuple[str, str, tuple[str, ...]]] = []
    for seed in range(num_stages // 2 // 100):
        for turn in range(1, 11):
            for step in range(10):
                before = f"loop.{turn}.s{step - 1}@seed={seed}" if step else f"loop.{turn - 1}.s9@seed={seed}"
                stages.append((f"loop.{turn}.s{step}@seed={seed}", "mix", (before,) if turn > 1 or step else ()))
    for chain in range(num_stages // 2 // 10):
        stages += [(f"c{chain}_{step}", "sft", (f"c{chain}_{step - 1}",) if step else ()) for step in range(10)]
    return make_picture("many", stages)


def test_ten_thousand_stages_can_be_searched_opened_and_moved(tmp_path: Path, open_page: Open) -> None:
    picture = _many(10_000)
    file = tmp_path / "many.html"
    file.write_text(
        written(scene_of(picture, {}), [{"fields": {}, "script": "", "tiles": []}] * 10_000), encoding="utf-8"
    )
    page = open_page(file)
    assert page.evaluate("rung.scene.nodes.label.length") == 10_000
    page.keyboard.press("/")
    page.keyboard.type("loop.7.s3@seed=41")
    page.wait_for_selector("#found b:text-is('loop.7.s3@seed=41')")
    page.keyboard.press("Enter")
    assert is_seen(page, "loop.7.s3@seed=41")
    page.click("#unfold")
    assert page.evaluate("rung.placed.boxes.size") == 10_000 + 50 * 12

"""Why a stage runs is told down to the value that somebody wrote; two recipes are compared likewise."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from compiler.cli import main
from compiler.pipeline import compile_plan
from compiler.plan import PlannedStage

Seal = Callable[..., dict[str, PlannedStage]]
RECIPES = Path(__file__).parents[1] / "recipes"
SMALL = RECIPES / "small.yaml"


def told(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, object]]:
    status = main([*argv, "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    text = SMALL.read_text(encoding="utf-8").replace("use: [", f"use: [{RECIPES}/")
    file = tmp_path / "recipe.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_changed_input_is_followed_to_the_value_that_was_written(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], seal: Seal
) -> None:
    store = tmp_path / "store"
    seal(recipe, store)
    label = next(
        stage.label for stage in compile_plan(recipe, [], cluster="laptop", store=store).stages if stage.kind == "sft"
    )
    lines = recipe.read_text(encoding="utf-8").splitlines()
    number = next(index for index, line in enumerate(lines) if line.strip().startswith("web: {kind: annotate"))
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("error_rate: 0.1", "error_rate: 0.5", 1))
    changed = recipe.read_text(encoding="utf-8").splitlines()
    assert changed[number] != lines[number]
    status, found = told(capsys, "explain", str(recipe), label, "--store", str(store))
    assert status == 0
    assert found["action"] == "run"
    causes = found["causes"]
    assert isinstance(causes, list)
    # One for each point of the sweep at most, and nothing but that field of that stage.
    assert {cause["cause"]["label"].partition("@")[0] for cause in causes} == {"web"}
    assert {(cause["cause"]["path"], cause["cause"]["old"], cause["cause"]["new"]) for cause in causes} == {
        ("error_rate", 0.1, 0.5)
    }
    assert {cause["at"]["line"] for cause in causes} == {number + 1}
    assert found["invalidated"]
    assert found["spent_hours"] > 0  # type: ignore[operator]


def test_a_stage_that_is_sealed_is_reused_and_invalidates_nothing(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], seal: Seal
) -> None:
    store = tmp_path / "store"
    seal(recipe, store)
    label = compile_plan(recipe, [], cluster="laptop", store=store).stages[0].label
    status, found = told(capsys, "explain", str(recipe), label, "--store", str(store))
    assert (status, found["action"], found["causes"], found["invalidated"]) == (0, "reuse", [], [])


def test_an_unknown_stage_is_a_mistake_with_a_suggestion(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(recipe), "rpo.1.trein@beta=1e-2,seed=1"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_a_recipe_is_equal_to_itself_whatever_its_layout_comments_and_order(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("# a comment\n" + recipe.read_text(encoding="utf-8") + "\n# the end\n", encoding="utf-8")
    status, found = told(capsys, "diff", str(recipe), str(other), "--store", str(tmp_path / "store"))
    assert (status, found["changed"], found["added"], found["removed"]) == (0, [], [], [])


def test_a_difference_is_told_once_at_its_root(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(recipe.read_text(encoding="utf-8").replace("vocab_size: 512, chat", "vocab_size: 500, chat", 1))
    status, found = told(capsys, "diff", str(recipe), str(other), "--store", str(tmp_path / "store"))
    assert status == 1
    paths = {(cause["path"], cause["old"], cause["new"]) for cause in found["causes"]}  # type: ignore[attr-defined]
    assert paths == {("vocab_size", 512, 500)}
    assert len(found["changed"]) > 3  # type: ignore[arg-type]


def test_a_renamed_stage_is_the_same_under_another_name(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = tmp_path / "one.yaml", tmp_path / "two.yaml"
    text = "rung: 1\nname: x\nuse: [%s]\n"
    text += "pipeline: {NAME: {kind: mix, rows: dialogues, data: {web: 1}, count: 5, seed: 9}}\n"
    for file, name in ((one, "sample"), (other, "excerpt")):
        file.write_text((text % (RECIPES / "world.yaml")).replace("NAME", name))
    status, found = told(capsys, "diff", str(one), str(other), "--store", str(tmp_path / "store"))
    assert (status, found["renamed"], found["changed"]) == (1, [["sample", "excerpt"]], [])

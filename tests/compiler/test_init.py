"""`rung init` gives a recipe that is right from the first moment, and never writes over somebody's work."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from compiler.cli import main
from compiler.commands.init import RECIPES, patterns
from compiler.load import load_tree
from compiler.pipeline import compile_graph
from compiler.reading.tree import plain


def test_the_recipe_checks_plans_and_fits_the_schema_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    assert "rung run recipe.yaml" in capsys.readouterr().out
    assert main(["check", "recipe.yaml"]) == 0
    assert main(["plan", "recipe.yaml", "--json"]) == 0
    text = (tmp_path / "recipe.yaml").read_text()
    schema = tmp_path / text.splitlines()[0].partition("$schema=")[2]
    # YAML 1.2 as the language server reads it, where 1e-5 is a number; tuples are JSON's arrays.
    instance = json.loads(json.dumps(plain(load_tree(tmp_path / "recipe.yaml"))))
    Draft202012Validator(json.loads(schema.read_text())).validate(instance)


def test_what_is_there_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("mine")
    assert main(["init", str(mine)]) == 2
    assert mine.read_text() == "mine"
    assert "exists" in capsys.readouterr().err
    assert not (tmp_path / "rung.schema.json").exists()


def test_a_name_that_is_no_recipes_is_refused(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path / "recipe.txt")]) == 2


@pytest.mark.parametrize("like", [name for name in patterns() if name != "laptop"])
def test_a_shipped_recipe_is_copied_with_what_it_uses(like: str, tmp_path: Path) -> None:
    recipe = tmp_path / "ours" / "mine.yaml"
    assert main(["init", str(recipe), "--like", like]) == 0
    ours, shipped = compile_graph(recipe, []), compile_graph(RECIPES / f"{like}.yaml", [])
    one, other = (
        [graph.stage(label).stage.model_dump(exclude={"files"}) for label in graph.order()] for graph in (ours, shipped)
    )
    assert one == other


def test_files_that_a_shipped_recipe_adopts_are_copied_too(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    assert main(["init", str(recipe), "--like", "smollm2-135m"]) == 0
    assert (tmp_path / "requests.jsonl").is_file()
    assert main(["plan", str(recipe), "--store", str(tmp_path / "store")]) == 0


def test_a_file_that_the_recipe_would_use_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "llama3.yaml").write_text("mine")
    assert main(["init", str(tmp_path / "recipe.yaml"), "--like", "one-node"]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["llama3.yaml"]


def test_a_pattern_that_there_is_not_is_told_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "recipe.yaml"), "--like", "one-nod"]) == 2
    assert "one-node" in capsys.readouterr().err

"""Every code that is used has a page, every page is true, and `docs/errors.md` is those pages."""

import ast
import shutil
from pathlib import Path
from typing import get_args

import pytest

from compiler.cli import main
from compiler.codes import MARK, PAGES, Code, Page
from compiler.errors import Problem, SpecError
from compiler.pipeline import compile_graph, compile_plan
from compiler.terminal.codes import book, page_text

ROOT = Path(__file__).parents[2]
_WORLD = Path(__file__).parent / "recipes" / "world.yaml"
_OPENING = "rung: 1\nname: example\nuse: [world.yaml]\n"
_RECIPES = [code for code, page in PAGES.items() if page.form == "recipe"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(_WORLD, tmp_path / "world.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def whole(text: str) -> str:
    return text if text.startswith("rung:") else _OPENING + text


def place_of_mark(text: str) -> tuple[int, int]:
    before = text[: text.index(MARK)]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def problems_of(text: str) -> list[Problem]:
    Path("recipe.yaml").write_text(text.replace(MARK, ""), encoding="utf-8")
    try:
        compile_graph(Path("recipe.yaml"), [])
    except SpecError as error:
        return list(error.problems)
    return []


def test_every_code_that_may_be_used_has_a_page_and_every_page_a_code() -> None:
    assert list(PAGES) == list(get_args(Code))
    assert sorted(PAGES) == list(PAGES)


def test_every_code_is_used_somewhere() -> None:
    # That no other code is used is what mypy says: the parameter is a Literal.
    files = [file for file in (ROOT / "compiler").rglob("*.py") if file.name != "codes.py"]
    words = {
        node.value
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(PAGES) <= words


@pytest.mark.parametrize("code", _RECIPES)
def test_the_wrong_example_gives_its_code_at_the_marked_place_and_nothing_else(folder: Path, code: Code) -> None:
    text = whole(PAGES[code].wrong)
    found = [(p.code, p.span.line, p.span.column) for p in problems_of(text) if p.span]
    assert found == [(code, *place_of_mark(text))]


@pytest.mark.parametrize("code", _RECIPES)
def test_the_mended_example_does_not_give_the_code(folder: Path, code: Code) -> None:
    found = problems_of(whole(PAGES[code].mended))
    # A part of a recipe is right as a whole; a whole one may be too short to be anything but an example of its line.
    assert not found if PAGES[code].mended.startswith("pipeline") else code not in [one.code for one in found]


def files_of(text: str) -> dict[str, str]:
    parts = [part.split("\n", 1) for part in text.split("# ")[1:]]
    return {name.split(",")[0].strip(): content for name, content in parts}


def write_files(page: Page, text: str) -> None:
    for name, content in files_of(text).items():
        encoding = "latin-1" if "Latin-1" in text else "utf-8"
        Path(name).write_text(content.replace(MARK, ""), encoding=encoding)


@pytest.mark.parametrize("code", [code for code, page in PAGES.items() if page.form == "files"])
def test_the_wrong_files_give_their_code_and_the_mended_ones_do_not(folder: Path, code: Code) -> None:
    page = PAGES[code]
    write_files(page, page.wrong)
    with pytest.raises(SpecError) as error:
        compile_graph(Path("recipe.yaml"), [])
    (problem,) = error.value.problems
    (marked,) = [(name, place_of_mark(text)) for name, text in files_of(page.wrong).items() if MARK in text]
    assert problem.code == code
    assert problem.span
    assert (problem.span.file, (problem.span.line, problem.span.column)) == marked
    write_files(page, page.mended)
    assert code not in [one.code for one in problems_of(Path("recipe.yaml").read_text(encoding="utf-8"))]


@pytest.mark.parametrize("code", ["bad-override", "unknown-path"])
def test_the_wrong_override_gives_its_code_at_the_marked_place(folder: Path, code: Code) -> None:
    Path("recipe.yaml").write_text(_OPENING + "pipeline: {}\n", encoding="utf-8")
    wrong, mended = (text.partition("--set ")[2].strip() for text in (PAGES[code].wrong, PAGES[code].mended))
    with pytest.raises(SpecError) as error:
        compile_graph(Path("recipe.yaml"), [wrong.replace(MARK, "")])
    (problem,) = error.value.problems
    assert problem.code == code
    assert problem.span
    assert problem.span.column == place_of_mark(wrong)[1]
    assert len(compile_graph(Path("recipe.yaml"), [mended])) > 0


def test_an_unknown_cluster_is_told_by_its_code(folder: Path) -> None:
    Path("recipe.yaml").write_text(_OPENING + "pipeline: {}\n", encoding="utf-8")
    with pytest.raises(SpecError) as error:
        compile_plan(Path("recipe.yaml"), [], cluster="latpop", store=folder / "store")
    (problem,) = error.value.problems
    assert problem.code == "unknown-cluster"
    assert "'laptop'" in problem.hint


def test_the_commands_of_pages_are_real(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["errors"]) == 0
    listed = capsys.readouterr().out
    assert all(f"{code} " in listed for code in PAGES)
    assert main(["errors", "wrong-artifact"]) == 0
    assert capsys.readouterr().out.strip() == page_text("wrong-artifact").strip()
    assert main(["errors", "[wrong-artifact]"]) == 0
    capsys.readouterr()
    assert main(["errors", "wrong-artefact"]) == 2
    assert "'wrong-artifact'" in capsys.readouterr().err


def test_the_book_is_not_stale() -> None:
    assert (ROOT / "docs" / "errors.md").read_text(encoding="utf-8") == book(), "run `make docs`"


def test_examples_in_the_book_have_no_marks_and_a_caret_each() -> None:
    assert MARK not in book()
    assert all(page.wrong.count(MARK) == 1 for page in PAGES.values() if page.form == "recipe")

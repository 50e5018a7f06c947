"""Adopted files are known by what they say, wherever they lie."""

import os
import shutil
from pathlib import Path

import pytest

from compiler.errors import SpecError
from compiler.manifest import Manifest
from compiler.pipeline import compile_bundle, compile_graph, compile_plan
from compiler.planning.contents import check_at_hand
from compiler.runs.layout import manifest_name

RECIPE = """\
rung: 1
name: adopting
pipeline:
  texts:
    kind: adopt
    artifact: documents
    name: texts
    source: {kind: rows, format: jsonl, fields: {}}
    files: [%s]
  sample: {kind: mix, rows: documents, data: {texts: 1}, count: 2, seed: 1}
"""


def prints(folder: Path, files: str = "texts/*.jsonl") -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE % files)
    plan = compile_plan(recipe, [], cluster="laptop", store=folder / "store")
    return {stage.label: stage.fingerprint for stage in plan.stages}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    texts = tmp_path / "here" / "texts"
    texts.mkdir(parents=True)
    (texts / "a.jsonl").write_text('{"text": "one"}\n')
    (texts / "b.jsonl").write_text('{"text": "two"}\n')
    (tmp_path / "here" / "store").mkdir()
    return tmp_path / "here"


def test_moving_or_renaming_the_files_changes_no_fingerprint(folder: Path, tmp_path: Path) -> None:
    before = prints(folder)
    elsewhere = tmp_path / "there"
    shutil.copytree(folder, elsewhere)
    assert prints(elsewhere) == before
    (elsewhere / "texts" / "a.jsonl").rename(elsewhere / "texts" / "z.jsonl")
    assert prints(elsewhere) == before
    assert prints(elsewhere, "texts/z.jsonl, texts/b.jsonl") == before


def test_other_contents_are_another_stage_and_so_is_all_that_rests_on_it(folder: Path) -> None:
    before = prints(folder)
    (folder / "texts" / "b.jsonl").write_text('{"text": "three"}\n')
    after = prints(folder)
    assert after["texts"] != before["texts"]
    assert after["sample"] != before["sample"]


def test_a_file_is_hashed_again_only_when_its_size_or_time_has_changed(folder: Path) -> None:
    file = folder / "texts" / "b.jsonl"
    before, stamp = prints(folder), file.stat()
    file.write_text('{"text": "owt"}\n')
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert prints(folder) == before, "the store remembers the hash by size and time"
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert prints(folder) != before


def test_files_that_are_not_there_are_told_at_their_place(folder: Path) -> None:
    with pytest.raises(SpecError) as error:
        prints(folder, "texts/a.jsonl, nowhere/*.jsonl")
    (problem,) = error.value.problems
    assert problem.span is not None
    assert (problem.span.line, problem.span.column, problem.code) == (9, 28, "missing-file")
    assert "give a `revision`" in problem.hint


def test_a_revision_is_identity_enough(folder: Path) -> None:
    recipe = folder / "recipe.yaml"
    recipe.write_text((RECIPE % "nowhere.jsonl").replace("    files", '    revision: "1"\n    files'))
    one = compile_plan(recipe, [], cluster="laptop", store=folder / "store").stages[0].fingerprint
    recipe.write_text(recipe.read_text().replace('"1"', '"2"'))
    other = compile_plan(recipe, [], cluster="laptop", store=folder / "store").stages[0].fingerprint
    recipe.write_text(recipe.read_text().replace("nowhere", "elsewhere"))
    assert compile_plan(recipe, [], cluster="laptop", store=folder / "store").stages[0].fingerprint == other != one


def test_a_manifest_says_where_the_files_lie(folder: Path) -> None:
    prints(folder)
    plan = compile_plan(folder / "recipe.yaml", [], cluster="laptop", store=folder / "store")
    bundle = compile_bundle(plan, folder / "recipe.yaml", store=folder / "store", run=folder / "run")
    manifest = Manifest.model_validate_json(bundle.files[manifest_name("texts")])
    assert manifest.files == (str(folder / "texts" / "a.jsonl"), str(folder / "texts" / "b.jsonl"))
    assert "texts/a.jsonl" not in str(manifest.identity)


def test_a_file_of_an_installed_package_is_found_and_not_imported(folder: Path) -> None:
    prints(folder, "package:pydantic/pydantic/py.typed")
    plan = compile_plan(folder / "recipe.yaml", [], cluster="laptop", store=folder / "store")
    (path,) = plan.stages[0].files
    assert Path(path).is_file()
    assert path.endswith("pydantic/py.typed")
    for name in ("package:no-such-package/a.jsonl", "package:pydantic/../secrets", "package:pydantic"):
        with pytest.raises(SpecError) as caught:
            prints(folder, name)
        assert "there is no installed package with the file" in caught.value.problems[0].message


def test_what_a_revision_names_is_planned_without_its_files_but_not_run(folder: Path) -> None:
    recipe = RECIPE.replace("    files:", "    revision: of today\n    files:")
    (folder / "recipe.yaml").write_text(recipe % "elsewhere/*.jsonl")
    plan = compile_plan(folder / "recipe.yaml", [], cluster="laptop", store=folder / "store")
    assert plan.stages[0].action == "run"
    with pytest.raises(SpecError) as caught:
        check_at_hand(compile_graph(folder / "recipe.yaml", []), [stage.label for stage in plan.to_run])
    (problem,) = caught.value.problems
    assert problem.code == "missing-file"
    assert problem.span.line == 10

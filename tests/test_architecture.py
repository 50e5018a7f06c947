"""A kind is a file name; what is declared is implemented and tested."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import get_args

import pytest

import compiler.stages
from compiler.cli import main
from compiler.schema.generators import Family, Generator
from compiler.schema.judges import Judge
from compiler.schema.losses import Loss

ROOT = Path(__file__).parents[1]


def kinds(union: object) -> set[str]:
    records = get_args(get_args(union)[0])
    return {get_args(record.model_fields["kind"].annotation)[0] for record in records}


def modules(folder: str, *besides: str) -> set[str]:
    return {path.stem for path in (ROOT / folder).glob("*.py")} - {"__init__", *besides}


def test_every_stage_kind_is_declared_implemented_and_in_the_union() -> None:
    declared = set(compiler.stages.STAGES)
    assert declared == kinds(compiler.stages.AnyStage)
    assert declared == modules("compiler/stages", "base", "refs")
    assert modules("runtime/stages") <= declared


@pytest.mark.parametrize(
    ("union", "folder", "besides"),
    [
        (Judge, "runtime/judges", ()),
        (Generator, "runtime/generators", ("quotas",)),
        (Loss, "runtime/losses", ("preference", "sft", "regression", "bradley_terry")),
    ],
)
def test_every_kind_has_its_file(union: object, folder: str, besides: tuple[str, ...]) -> None:
    assert modules(folder, *besides) <= kinds(union)


def test_every_task_family_has_its_file() -> None:
    assert set(get_args(Family)) == modules("runtime/tasks", "base", "words")


def test_every_verb_has_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    verbs = set(re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE))
    assert verbs == modules("compiler/commands", "mistakes", "past_runs")


def test_every_stage_kind_has_a_test() -> None:
    text = "\n".join(
        file.read_text()
        for file in [*(ROOT / "tests").rglob("*"), *(ROOT / "specs").rglob("*")]
        if file.suffix in (".py", ".yaml")
    )
    assert all(f"kind: {kind}" in text or f'"{kind}"' in text for kind in compiler.stages.STAGES)


@pytest.mark.slow
def test_the_wheel_holds_what_the_command_needs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {
        "compiler", "runtime", "templates", "specs",
    }  # fmt: skip
    for needed in ("templates/chat/compact.j2", "templates/reports/report.html.j2", "specs/clusters/laptop.yaml"):
        assert needed in names

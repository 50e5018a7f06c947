"""The plan as a person reads it: on a screen, in a pipe and in a pull request."""

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from compiler.cli import main
from compiler.draw.picture import folded, make_picture
from compiler.pipeline import compile_plan
from compiler.plan import Plan, PlannedStage
from compiler.review.warnings import warnings
from compiler.terminal.listing import by_kind, listed
from compiler.terminal.markdown import plan_markdown
from compiler.terminal.tables import fitting, plan_lines, plan_summary, plan_table

_SMALL = Path(__file__).parents[1] / "recipes" / "small.yaml"
_REPORT = Path(__file__).parents[3] / "specs" / "experiments" / "nemotron4-340b.yaml"
Seal = Callable[..., dict[str, PlannedStage]]


def small(store: Path, *sets: str) -> Plan:
    return compile_plan(_SMALL, list(sets), cluster="laptop", store=store)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return compile_plan(_REPORT, [], cluster="h100-768", store=tmp_path_factory.mktemp("store"))


def column(lines: list[str], name: str) -> list[str]:
    """The words that stand under a left-aligned head."""
    start = lines[0].index(name)
    return [re.split(r"  ", line[start:])[0] for line in lines[1:]]


def test_every_stage_has_its_line_with_what_happens_and_why(tmp_path: Path, seal: Seal) -> None:
    seal(_SMALL, tmp_path, "matrix={params.beta: [0.1]}")
    plan = small(tmp_path, "matrix={params.beta: [0.1, 0.2]}")
    lines = list(plan_lines(listed(plan)))
    assert column(lines, "stage") == [stage.label for stage in plan.stages]
    assert column(lines, "action") == [stage.action for stage in plan.stages]
    assert [line[lines[0].index("why") :] for line in lines[1:]] == [stage.reason for stage in plan.stages]
    assert {"run", "reuse"} <= {stage.action for stage in plan.stages}


def test_folded_rows_stand_for_every_stage_and_keep_the_sums(report: Plan) -> None:
    whole, few = listed(report), listed(report, most=100)
    assert len(few.rows) <= 100 < len(whole.rows) == len(report.stages)
    names = [column.name for column in few.columns]
    hours = [float(row.cells[names.index("GPU-hours")].replace(",", "") or 0) for row in few.rows]
    # Each cell is rounded to a tenth, and what is less than half of that is not written.
    assert sum(hours) == pytest.approx(report.gpu_hours, abs=0.05 * len(report.stages))
    stages = [row.cells[names.index("stage")] for row in few.rows]
    inside = sum(int(number) for number in re.findall(r": (\d+) stages", "\n".join(stages)))
    assert inside and inside + sum(": " not in stage for stage in stages) == len(report.stages)


def test_what_has_no_frames_to_fold_is_cut_and_the_rest_counted(tmp_path: Path) -> None:
    plan = small(tmp_path)
    few = listed(plan, most=3)
    names = [column.name for column in few.columns]
    said = [row.cells[names.index("stage")] for row in few.rows]
    assert len(few.rows) == 3 and few.left_out
    inside = sum(int(number) for number in re.findall(r": (\d+) stages", "\n".join(said)))
    assert inside + sum(": " not in one for one in said) + few.left_out == len(plan.stages)


def test_frames_open_from_the_outside_in_until_there_is_no_room() -> None:
    stages = [(f"loop.{number}.{name}@p={p}", "mix", ()) for p in (1, 2) for number in (1, 2, 3) for name in "ab"]
    picture = make_picture("many", stages)
    frames = {frame.id for frame in picture.root.frames()} - {""}
    points, loops = {"@p=1/", "@p=2/"}, {"@p=1/loop/", "@p=2/loop/"}
    assert folded(picture, 1) == frames
    assert folded(picture, 6) == frames - points - loops == {f"@p={p}/loop/{n}/" for p in (1, 2) for n in (1, 2, 3)}
    assert folded(picture, len(stages)) == frozenset()


@pytest.mark.parametrize("width", [60, 90, 120, 200])
def test_a_narrow_screen_loses_the_work_but_neither_the_names_nor_the_time(report: Plan, width: int) -> None:
    listing = listed(report, most=100)
    names = [column.name for column in fitting(listing, width).columns]
    assert {"action", "stage", "kind", "GPUs", "time", "why"} <= set(names)
    assert ("steps" in names) == (width == 200)
    screen = Console(width=width, record=True, file=StringIO())
    screen.print(plan_table(listing, width))
    assert max(map(len, screen.export_text().splitlines())) <= width


def test_the_sums_of_each_kind_are_the_plan_s(report: Plan) -> None:
    kinds = by_kind(report)
    names = [column.name for column in kinds.columns]
    assert sum(int(row.cells[names.index("run")]) for row in kinds.rows) == len(report.to_run)
    assert kinds.rows[0].cells[0] == "pretrain"


def test_the_summary_names_the_longest_chain(report: Plan) -> None:
    chain = report.critical
    assert {"early", "late", "base"} <= set(chain)
    last = plan_summary(report).splitlines()[-1]
    assert last.startswith("longest chain: ") and chain[0] in last and chain[-1] in last


def test_a_pull_request_gets_tables_that_are_whole(report: Plan) -> None:
    text = plan_markdown(report)
    tables = [block for block in text.split("\n\n") if block.startswith("| ")]
    assert len(tables) == 2
    for table in tables:
        cells = [len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()]
        assert len(set(cells)) == 1
    assert text.index("to run") < text.index("<details>")
    assert text.count("<details>") == text.count("</details>")
    assert len(text) < 65_536


def test_a_small_plan_brings_its_picture_along(tmp_path: Path) -> None:
    text = plan_markdown(small(tmp_path, "matrix={params.beta: [0.1]}"))
    assert text.count("```mermaid\nflowchart TB\n") == 1


def test_what_is_nearly_full_is_told_and_what_is_not_is_not(tmp_path: Path, report: Plan) -> None:
    assert not [warning for warning in warnings(report) if "of each GPU" in warning]
    assert report.cluster.gpu is not None
    gpu = report.cluster.gpu.model_copy(update={"memory_bytes": 70 * 10**9})
    tight = Plan(**{**vars(report), "cluster": report.cluster.model_copy(update={"gpu": gpu})})
    told = "\n".join(warning for warning in warnings(tight) if "of each GPU" in warning)
    full = [stage.label for stage in report.to_run if stage.memory and stage.memory.total > 63e9]
    assert full and full[0] in told and "66 of 70 GB" in told


def test_the_command_prints_markdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(_SMALL), "--markdown", "--store", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("### Plan of `small` on laptop\n")

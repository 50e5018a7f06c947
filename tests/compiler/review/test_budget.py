"""A recipe's budget makes a plan fail where it was written; what is sealed is free."""

from collections.abc import Callable
from pathlib import Path

import pytest

from compiler.errors import SpecError
from compiler.pipeline import compile_plan
from compiler.plan import Plan, PlannedStage, plan_json
from compiler.terminal.markdown import plan_markdown
from compiler.terminal.tables import plan_summary

ROOT = Path(__file__).parents[3]
RECIPE = ROOT / "specs" / "experiments" / "one-node.yaml"
SMALL = ROOT / "tests" / "compiler" / "recipes" / "world.yaml"


def plan(store: Path, *sets: str) -> Plan:
    return compile_plan(RECIPE, list(sets), cluster="one-node", store=store)


TAKES: dict[str, Callable[[Plan], float]] = {
    "gpu_hours": lambda made: made.gpu_hours,
    "cost": lambda made: made.price,
    "wall_hours": lambda made: made.wall_s / 3600,
}


@pytest.mark.parametrize("field", TAKES)
def test_a_plan_within_its_budget_passes_and_one_beyond_fails_at_the_line(field: str, tmp_path: Path) -> None:
    takes = TAKES[field](plan(tmp_path))
    assert plan(tmp_path, f"budget={{{field}: {takes * 1.01}}}")
    with pytest.raises(SpecError) as error:
        plan(tmp_path, f"budget={{{field}: {takes * 0.99}}}")
    (problem,) = error.value.problems
    assert (problem.code, problem.path) == ("over-budget", f"budget.{field}")


def test_a_budget_with_an_unknown_field_or_a_word_is_refused_like_any_record(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        plan(tmp_path, "budget={gpu_hour: 1, cost: much}")
    assert sorted(problem.code for problem in error.value.problems) == ["unknown-key", "wrong-type"]


def test_what_is_sealed_costs_nothing(tmp_path: Path, seal: Callable[..., dict[str, PlannedStage]]) -> None:
    recipe = tmp_path / "recipe.yaml"
    text = SMALL.read_text(encoding="utf-8")
    recipe.write_text("rung: 1\nname: dear\n" + text, encoding="utf-8")
    seal(recipe, tmp_path)
    recipe.write_text("rung: 1\nname: dear\nbudget: {wall_hours: 0}\n" + text, encoding="utf-8")
    assert not compile_plan(recipe, [], cluster="laptop", store=tmp_path).to_run


def test_a_plan_tells_how_much_of_its_budget_it_takes(tmp_path: Path) -> None:
    free = plan(tmp_path)
    assert plan_json(free)["totals"]["budget"] == {} and "budget" not in plan_summary(free) + plan_markdown(free)
    half = plan(tmp_path, f"budget={{gpu_hours: {2 * free.gpu_hours}, wall_hours: {free.wall_s / 900}}}")
    told = plan_json(half)["totals"]["budget"]
    assert {field: one["most"] / one["takes"] for field, one in told.items()} == pytest.approx(
        {"gpu_hours": 2, "wall_hours": 4}
    )
    for text in (plan_summary(half), plan_markdown(half)):
        assert f"of {2 * free.gpu_hours:,.1f} GPU-hours (50 %)" in text and "(25 %)" in text

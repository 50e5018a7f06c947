"""Every shipped recipe compiles, and its prompts are disjoint where they must be."""

from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import pytest

from compiler.clusters import CLUSTERS, find_cluster
from compiler.graph import StageGraph
from compiler.pipeline import compile_graph
from compiler.plan import make_plan
from compiler.planning.inventory import EMPTY
from compiler.stages.evaluate import Evaluate
from compiler.stages.prompts import Prompts
from compiler.stages.reward_model import RewardModel
from runtime.generators.tasks import draw_prompts

SPECS = Path(__file__).parents[2] / "specs"
RECIPES = sorted((SPECS / "experiments").glob("*.yaml"))
TINY = SPECS / "experiments" / "tiny.yaml"


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
@pytest.mark.parametrize("cluster", [path.stem for path in CLUSTERS.glob("*.yaml")])
def test_a_shipped_recipe_compiles_and_plans(recipe: Path, cluster: str) -> None:
    graph = compile_graph(recipe, [])
    plan = make_plan(graph, find_cluster(cluster), EMPTY, cores=2, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert len(plan.stages) == len(graph)
    assert all(stage.action == "run" or stage.reason.startswith("the same as") for stage in plan.stages)
    assert all(stage.wall_s > 0 for stage in plan.stages)


@pytest.fixture(scope="module")
def tiny() -> StageGraph:
    return compile_graph(TINY, [])


def upstream_prompts(graph: StageGraph, label: str) -> set[str]:
    """Labels of the prompts stages that went into this stage."""
    return {name for name in graph.ancestors(label) if isinstance(graph.stage(name).stage, Prompts)}


def roles(graph: StageGraph) -> dict[str, set[str]]:
    """evaluation, reward, policy -> the prompts stages that examine, teach the reward model, teach policies."""
    stages = {label: graph.stage(label).stage for label in graph.order()}
    exams = [stage for stage in stages.values() if isinstance(stage, Evaluate)]
    evaluation = {stage.prompts for stage in exams}
    policies = set[str]().union(*(upstream_prompts(graph, stage.policy) for stage in exams))
    rewards = {
        name
        for stage in stages.values()
        if isinstance(stage, RewardModel)
        for name in upstream_prompts(graph, stage.responses) - upstream_prompts(graph, stage.init)
    }
    return {"evaluation": evaluation, "reward": rewards, "policy": policies - rewards}


def test_tiny_examines_rates_and_trains_on_disjoint_prompts(tiny: StageGraph) -> None:
    """Not by the names of parts: the rows themselves are drawn and compared."""
    drawn: dict[str, set[str]] = {}
    for role, labels in roles(tiny).items():
        assert labels, role
        drawn[role] = set()
        for label in labels:
            stage = tiny.stage(label).stage
            assert isinstance(stage, Prompts)
            if stage.generator.kind == "tasks":
                rows = draw_prompts(
                    stage.generator, count=stage.count, split=stage.split, parts=stage.parts, seed=stage.seed
                )
                drawn[role] |= {row.id for row in rows}
    assert all(len(prompts) > 1000 for prompts in drawn.values())
    for one, other in combinations(drawn.values(), 2):
        assert not one & other


def test_tiny_holds_out_four_hundred_prompts_of_each_task(tiny: StageGraph) -> None:
    (held_out,) = roles(tiny)["evaluation"]
    stage = tiny.stage(held_out).stage
    assert isinstance(stage, Prompts)
    rows = draw_prompts(stage.generator, count=stage.count, split=stage.split, parts=stage.parts, seed=stage.seed)  # type: ignore[arg-type]
    counts = {family: sum(row.family == family for row in rows) for family in {row.family for row in rows}}
    assert len(counts) == 6
    assert min(counts.values()) >= 400


def test_each_rpo_round_starts_from_the_last_ones_policy_and_refers_to_it(tiny: StageGraph) -> None:
    for number in (1, 2, 3):
        before = "dpo" if number == 1 else f"rpo.{number - 1}.train"
        train = tiny.stage(f"rpo.{number}.train").stage
        assert (train.init, train.reference) == (before, before)  # type: ignore[attr-defined]
        assert tiny.stage(f"rpo.{number}.responses").stage.policy == before  # type: ignore[attr-defined]


def test_three_seeds_share_what_does_not_depend_on_the_seed(tmp_path: Path) -> None:
    swept = tmp_path / "swept.yaml"
    text = TINY.read_text().replace("../models", str(SPECS / "models"))
    swept.write_text(text + "\nmatrix: {params.seed: [1, 2, 3]}\n")
    plan = make_plan(
        compile_graph(swept, []), find_cluster("laptop"), EMPTY, cores=2, now=datetime(2026, 1, 1, tzinfo=UTC)
    )
    runs = {stage.label for stage in plan.to_run}
    assert {"base@seed=1", "base@seed=2", "base@seed=3"} <= runs
    assert "web@seed=1" in runs
    assert "web@seed=2" not in runs
    assert sum(stage.kind == "report" for stage in plan.stages) == 1

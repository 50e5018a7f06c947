"""Every shipped recipe compiles, and its prompts are disjoint where they must be."""

import json
from collections import Counter
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import pytest

from compiler.clusters import CLUSTERS, find_cluster
from compiler.errors import SpecError
from compiler.graph import StageGraph
from compiler.pipeline import compile_graph, compile_plan
from compiler.plan import make_plan, plan_json
from compiler.planning.inventory import EMPTY
from compiler.schema.generators import InstructionFollowing
from compiler.stages.evaluate import Evaluate
from compiler.stages.pretrain import Pretrain
from compiler.stages.prompts import Prompts
from compiler.stages.reward_model import RewardModel
from compiler.stages.split import Split
from runtime.generators.tasks import draw_prompts
from runtime.splits import part_of

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


REPORT = SPECS / "experiments" / "nemotron4-340b.yaml"


@pytest.fixture(scope="module")
def report() -> StageGraph:
    return compile_graph(REPORT, [])


def test_the_report_takes_its_eight_trillion_tokens_in_the_steps_of_its_table(report: StageGraph) -> None:
    """Table 2 of 2406.11704: 63,578, 31,789 and 805,325 steps at 768, 1536 and 2304 sequences."""
    steps: dict[int, int] = {}
    for label in ("early", "late"):
        stage = report.stage(label).stage
        assert isinstance(stage, Pretrain)
        for phase in stage.phases:
            for ramp, count in zip(phase.batch_ramp, phase.steps(stage.seq_length), strict=True):
                steps[ramp.global_batch_size] = steps.get(ramp.global_batch_size, 0) + count
    assert steps == {768: 63_578, 1536: 31_789, 2304: 805_325}


def test_the_report_is_planned_on_the_gpus_and_in_the_days_of_its_table(report: StageGraph) -> None:
    plan = make_plan(report, find_cluster("h100-768"), EMPTY, cores=2, now=datetime(2026, 1, 1, tzinfo=UTC))
    stages = {stage["name"]: stage for stage in plan_json(plan)["stages"]}
    assert [phase["ranks"] for phase in stages["early"]["phases"]] == [1536, 3072, 6144]
    assert stages["early"]["parameters"] == {
        "total": 341_029_195_776,
        "embedding": 9_437_184_000,
        "non_embedding": 331_592_011_776,
    }
    days = sum(stages[name]["wall_s"] for name in ("early", "late", "base")) / 86400
    assert days == pytest.approx(95.7, rel=0.1)
    assert stages["code_sft"]["steps"] == 6250
    assert stages["dpo"]["steps"] == 625


def test_the_reports_rounds_start_from_each_other_and_its_students_from_later_bases(report: StageGraph) -> None:
    for number, before in ((1, "dpo"), (2, "rpo.1.train"), (3, "rpo.2.train")):
        train = report.stage(f"rpo.{number}.train").stage
        assert (train.init, train.reference) == (before, before)  # type: ignore[attr-defined]
    assert report.stage("ladder.1.dialogues").stage.policy == "mixtral"  # type: ignore[attr-defined]
    assert report.stage("ladder.2.dialogues").stage.policy == "ladder.1.align"  # type: ignore[attr-defined]
    assert [report.stage(f"ladder.{number}.code").stage.init for number in (1, 2)] == ["early", "late"]  # type: ignore[attr-defined]


def test_the_report_divides_its_prompts_between_sft_and_preferences(report: StageGraph) -> None:
    parts = {label: report.stage(label).stage.parts for label in ("sft_prompts", "preference_synthetic")}  # type: ignore[attr-defined]
    assert parts == {"sft_prompts": ("sft",), "preference_synthetic": ("preference",)}
    unsafe = report.stage("lmsys_preference").stage.data  # type: ignore[attr-defined]
    safe = report.stage("lmsys_sft").stage.data  # type: ignore[attr-defined]
    assert (unsafe, safe) == ("lmsys", "safe_lmsys")


def test_what_cannot_be_run_yet_is_told_before_a_job_exists(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        compile_plan(REPORT, [], cluster="h100-768", store=tmp_path, runnable=True)
    assert {problem.code for problem in error.value.problems} == {"not-yet"}
    assert all(problem.span and problem.span.line > 1 for problem in error.value.problems)


def test_a_layout_that_the_cluster_cannot_hold_is_refused_where_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        compile_plan(REPORT, [], cluster="one-node", store=tmp_path)
    messages = [str(problem) for problem in error.value.problems]
    assert any("takes 6,144 GPUs, but one-node has 8" in message for message in messages)
    assert any("has no server of 'mistralai/Mixtral-8x7B-Instruct-v0.1'" in message for message in messages)


def test_smollm2_examines_rates_and_trains_on_other_requests() -> None:
    """Not only other instructions: a request that the policy has learnt an answer to is not asked in the exam."""
    graph = compile_graph(SPECS / "experiments" / "smollm2-135m.yaml", [])
    stages = [graph.stage(label).stage for label in graph.order()]
    instructed = [stage for stage in stages if isinstance(stage, Prompts)]
    assert {part for stage in instructed for part in stage.parts} == {"evaluation", "reward", "training"}
    for stage in instructed:
        assert isinstance(stage.generator, InstructionFollowing)
        requests = graph.stage(stage.generator.prompts).stage
        assert isinstance(requests, Split)
        assert (requests.parts, requests.split) == (stage.parts, stage.split)
    lines = (SPECS / "data" / "requests.jsonl").read_text().splitlines()
    split = instructed[0].split
    parts = Counter(part_of(split, json.loads(line)["request"]) for line in lines)
    assert min(parts.values()) >= 25

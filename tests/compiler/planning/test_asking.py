"""Who is asked what, and which server's time and price stands for it."""

from pathlib import Path

import pytest
import yaml

from compiler.clusters import CLUSTERS
from compiler.pipeline import compile_plan
from compiler.plan import Plan, PlannedStage, plan_json, price

RECIPE = Path(__file__).parents[3] / "specs" / "experiments" / "nemotron4-340b.yaml"
TINY = RECIPE.with_name("tiny.yaml")
MIXTRAL = "mistralai/Mixtral-8x7B-Instruct-v0.1"


def site(folder: Path, **servers: tuple[float, float]) -> str:
    """The report's cluster with Mixtral's server, and others of (tokens per second, price per million)."""
    cluster = yaml.safe_load((CLUSTERS / "h100-768.yaml").read_text())
    named = {MIXTRAL if name == "mixtral" else name: speed for name, speed in servers.items()}
    cluster["servers"] = {
        name: {"url": "http://x/v1", "tokens_per_s": speed, "price_per_million_tokens": cost}
        for name, (speed, cost) in named.items()
    }
    file = folder / "site.yaml"
    file.write_text(yaml.safe_dump(cluster))
    return str(file)


def planned(folder: Path, cluster: str, *sets: str) -> tuple[Plan, dict[str, PlannedStage]]:
    plan = compile_plan(RECIPE, list(sets), cluster=cluster, store=folder / "store")
    return plan, {stage.label: stage for stage in plan.stages}


def test_a_stage_takes_the_time_and_the_price_of_the_server_that_it_asks(tmp_path: Path) -> None:
    plan, stages = planned(tmp_path, site(tmp_path, mixtral=(50_000, 2.0), slow_and_dear=(1, 1000.0)))
    asking = stages["open_qa_prompts"]
    (ask,) = asking.work.asks
    assert ask.server == MIXTRAL
    assert price(asking, plan.cluster) == pytest.approx(ask.tokens / 1e6 * 2.0)
    assert asking.cost.speed_wall_s == pytest.approx(ask.tokens / 50_000, rel=0.2)
    assert asking.cost.basis.endswith(f"server {MIXTRAL}")
    _, faster = planned(tmp_path, site(tmp_path, mixtral=(500_000, 2.0)))
    served = ask.tokens * (1 / 50_000 - 1 / 500_000)
    assert asking.wall_s - faster["open_qa_prompts"].wall_s == pytest.approx(served, rel=0.01)


def test_what_a_served_and_a_model_of_ours_answer_is_counted_for_both(tmp_path: Path) -> None:
    plan, stages = planned(tmp_path, site(tmp_path, mixtral=(200_000, 1.0)))
    responses = stages["ladder.1.responses"]
    served, ours = responses.work.asks
    assert (served.server, ours.label) == (MIXTRAL, "ladder.1.sft")
    assert served.requests == ours.requests == responses.work.rows / 2
    assert responses.cost.gpus == 512 and responses.model is not None
    assert responses.work.tokens == int(ours.tokens) and responses.work.served_tokens == int(served.tokens)
    alone = stages["ladder.2.responses"]
    assert [ask.server for ask in alone.work.asks] == ["", ""]
    half = (alone.cost.speed_wall_s - 180) / 2 + served.tokens / 200_000 + 180
    assert responses.cost.speed_wall_s == pytest.approx(half, rel=0.01)
    assert price(responses, plan.cluster) == pytest.approx(responses.gpu_hours * 3.0 + served.tokens / 1e6)
    assert responses.cost.basis == f"roofline of generation, server {MIXTRAL}"


def test_a_server_that_is_not_listed_is_said_and_not_invented(tmp_path: Path) -> None:
    plan, stages = planned(tmp_path, "laptop")
    told = plan_json(plan)
    assert told["totals"]["unlisted_servers"] == [MIXTRAL]
    asking = next(stage for stage in told["stages"] if stage["name"] == "open_qa_prompts")
    assert asking["unlisted_servers"] == [MIXTRAL] and asking["cost"] == 0
    assert asking["wall_basis"].endswith(f"without server {MIXTRAL}, which the cluster file does not list")
    rows_s = plan.cluster.cpu.start_up_s + stages["open_qa_prompts"].work.rows / plan.cluster.cpu.rows_per_s
    assert asking["wall_s"] == pytest.approx(rows_s, abs=0.01)


def test_judges_of_a_stage_are_asked_besides_its_policy(tmp_path: Path) -> None:
    _, stages = planned(tmp_path, "h100-768")
    assert [ask.label for ask in stages["last_dialogues"].work.asks] == ["ladder.2.align", "reward"]
    exam, grade = stages["rpo.1.mt_bench"].work.asks
    assert (exam.requests, grade.requests) == (320, 160) and grade.server == MIXTRAL


def test_a_judge_that_compares_reads_every_pair_of_answers_in_both_orders(tmp_path: Path) -> None:
    _, stages = planned(tmp_path, "h100-768")
    responses, scores = stages["ladder.1.responses"].work, stages["ladder.1.llm_scores"].work
    (ask,) = scores.asks
    assert ask.requests == responses.prompts * 4 * 3
    assert ask.prompt_tokens >= 2 * responses.row_tokens


def test_a_pair_is_its_prompt_once_and_both_answers(tmp_path: Path) -> None:
    plan = compile_plan(TINY, [], cluster="laptop", store=tmp_path)
    stages = {stage.label: stage.work for stage in plan.stages}
    ask, work = stages["dpo_responses"].asks[0], stages["dpo"]
    assert work.tokens == work.steps * work.global_batch_size * (ask.prompt_tokens + 2 * ask.new_tokens)
    (reference,) = work.asks
    assert reference.tokens == work.rows * (ask.prompt_tokens + 2 * ask.new_tokens)


def test_adopted_pairs_whose_prompts_nobody_has_counted_are_two_whole_rows(tmp_path: Path) -> None:
    adopted = (
        "{kind: adopt, artifact: preferences, name: theirs, revision: a, files: [pairs.jsonl], rows: 640, tokens: 64k, "
        "source: {kind: rows, format: jsonl, fields: {}}}"
    )
    _, stages = planned(tmp_path, "h100-768", f"pipeline.dpo_pairs={adopted}")
    work = stages["dpo"].work
    assert work.tokens == work.steps * work.global_batch_size * 2 * 100


def test_requests_that_got_an_instruction_are_longer_than_they_were(tmp_path: Path) -> None:
    """Those of smollm2-135m.yaml were taken for a task family's short rows, and its plan was seven times too quick."""
    plan = compile_plan(RECIPE.with_name("smollm2-135m.yaml"), [], cluster="laptop", store=tmp_path)
    stages = {stage.label: stage.work for stage in plan.stages}
    (ask,) = stages["dpo_responses"].asks
    assert ask.prompt_tokens > stages["training_requests"].row_tokens > 20
    assert ask.new_tokens == 96 / 2


def test_a_prompt_is_computed_once_for_all_answers_of_a_model(tmp_path: Path) -> None:
    spec = RECIPE.with_name("smollm2-135m.yaml")
    one, four = (
        compile_plan(spec, [f"params.samples={samples}"], cluster="laptop", store=tmp_path) for samples in (1, 4)
    )
    (once,), (often,) = (
        {stage.label: stage.work for stage in plan.stages}["dpo_responses"].asks for plan in (one, four)
    )
    written = once.requests * once.new_tokens
    assert often.computed_tokens - once.computed_tokens == pytest.approx(3 * written)
    assert often.tokens == 4 * once.tokens

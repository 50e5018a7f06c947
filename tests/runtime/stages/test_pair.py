from typing import Any

import pytest

from compiler.artifacts import PreferenceRow
from runtime.rows import read_rows


def _pair(run_stage: Any, inputs: Any, **fields: Any) -> Any:
    names = [name for name in inputs if name != "responses"]
    given = {
        "responses": "responses",
        "scores": {name: name for name in names},
        "reward": dict.fromkeys(names, 1.0),
        "rejected": "worst",
        "min_margin": 0.0,
        "chosen_at_least": {},
        "seed": 1,
        **fields,
    }
    return run_stage("pair", given, inputs)


def _rows(ran: Any) -> list[PreferenceRow]:
    return list(read_rows(ran.output, PreferenceRow))


def _inputs(response: Any, scores: Any, *values: float | None, **others: Any) -> Any:
    names = {f"p_{sample}": value for sample, value in enumerate(values)}
    return {"responses": [response("p", sample) for sample in range(len(values))], "reward": scores(**names), **others}


def test_the_best_stands_against_the_worst_with_both_rewards(run_stage: Any, response: Any, scores: Any) -> None:
    (row,) = _rows(_pair(run_stage, _inputs(response, scores, 1.0, 4.0, 0.5, 2.0)))
    assert (row.chosen, row.rejected) == ("p 1", "p 2")
    assert (row.chosen_reward, row.rejected_reward) == (4.0, 0.5)
    assert (row.chosen_ids, row.rejected_ids) == ((7, 1, 4), (7, 2, 4))
    assert (row.id, row.prompt_id, row.family) == ("p-1-2", "p", "sort")


def test_rewards_are_weighted_sums(run_stage: Any, response: Any, scores: Any) -> None:
    inputs = _inputs(response, scores, 1.0, 2.0, truth=scores(p_0=1.0, p_1=0.0))
    (row,) = _rows(_pair(run_stage, inputs, reward={"truth": 4.0, "reward": 0.25}))
    assert (row.chosen, row.chosen_reward, row.rejected_reward) == ("p 0", 4.25, 0.5)
    (row,) = _rows(_pair(run_stage, inputs, reward={"truth": 0.5, "reward": 1.0}))
    assert row.chosen == "p 1"


def test_a_judge_that_is_silent_on_one_response_is_not_heard_on_the_others(
    run_stage: Any, response: Any, scores: Any
) -> None:
    inputs = _inputs(response, scores, None, 2.0, 9.0, truth=scores(p_0=1.0, p_1=0.5, p_2=0.0))
    (row,) = _rows(_pair(run_stage, inputs))
    assert (row.chosen, row.rejected, row.chosen_reward, row.rejected_reward) == ("p 0", "p 2", 1.0, 0.0)


def test_where_all_judges_are_silent_there_is_no_pair(run_stage: Any, response: Any, scores: Any) -> None:
    ran = _pair(run_stage, _inputs(response, scores, None, 2.0))
    assert _rows(ran) == []
    assert ran.facts["rejected"] == {"judges silent": 1}


def test_a_chosen_answer_must_be_good_enough_and_finished(run_stage: Any, response: Any, scores: Any) -> None:
    inputs = _inputs(response, scores, 9.0, 8.0, 7.0, 0.0, truth=scores(p_0=1.0, p_1=0.0, p_2=1.0, p_3=1.0))
    inputs["responses"][0] = response("p", 0, finished=False)
    (row,) = _rows(_pair(run_stage, inputs, reward={"reward": 1.0}, chosen_at_least={"truth": 1.0}))
    assert (row.chosen, row.rejected) == ("p 2", "p 3")
    inputs["truth"] = scores(p_0=0.0, p_1=0.0, p_2=0.0, p_3=0.0)
    ran = _pair(run_stage, inputs, chosen_at_least={"truth": 1.0})
    assert ran.facts["rejected"] == {"no response fit to be chosen": 1}


def test_a_silent_judge_does_not_keep_an_answer_from_being_chosen(run_stage: Any, response: Any, scores: Any) -> None:
    inputs = _inputs(response, scores, None, None, truth=scores(p_0=1.0, p_1=0.0))
    (row,) = _rows(_pair(run_stage, inputs, chosen_at_least={"reward": 3.0}))
    assert row.chosen == "p 0"


@pytest.mark.parametrize(("values", "reason"), [((1.0, 1.0), "all rewards equal"), ((1.0, 1.4), "margin too small")])
def test_pairs_without_a_difference_are_rejected(
    run_stage: Any, response: Any, scores: Any, values: tuple[float, float], reason: str
) -> None:
    ran = _pair(run_stage, _inputs(response, scores, *values), min_margin=0.5)
    assert (_rows(ran), ran.facts["rejected"]) == ([], {reason: 1})


def test_a_random_rejected_answer_is_any_that_is_worse_by_the_margin(
    run_stage: Any, response: Any, scores: Any
) -> None:
    inputs = _inputs(response, scores, 4.0, 3.9, 1.0, 2.0, 4.0)
    found = {
        _rows(_pair(run_stage, inputs, rejected="random", min_margin=1.0, seed=seed))[0].rejected for seed in range(25)
    }
    assert found == {"p 2", "p 3"}


def test_ties_are_broken_by_lot(run_stage: Any, response: Any, scores: Any) -> None:
    inputs = _inputs(response, scores, 1.0, 1.0, 0.0, 0.0)
    rows = [_rows(_pair(run_stage, inputs, seed=seed))[0] for seed in range(25)]
    assert {row.chosen for row in rows} == {"p 0", "p 1"}
    assert {row.rejected for row in rows} == {"p 2", "p 3"}
    assert _pair(run_stage, inputs, seed=3).bytes == _pair(run_stage, inputs, seed=3).bytes


def test_facts_tell_where_prompts_were_lost(run_stage: Any, response: Any, scores: Any) -> None:
    by_prompt = {"p": (4.0, 1.0), "q": (2.0, 2.0), "r": (3.0, 1.0), "s": (1.0, 0.9)}
    inputs = {
        "responses": [response(prompt, sample) for prompt in by_prompt for sample in (0, 1)],
        "reward": scores(
            **{f"{prompt}_{n}": value for prompt, pair in by_prompt.items() for n, value in enumerate(pair)}
        ),
    }
    facts = _pair(run_stage, inputs, min_margin=0.5).facts
    assert [stop["rows"] for stop in facts["waterfall"]] == [4, 4, 4, 3, 2]
    assert facts["rejected"] == {"all rewards equal": 1, "margin too small": 1}
    assert (facts["rows"], facts["prompts"], facts["responses"]) == (2, 4, 8)
    assert (facts["share_of_prompts"], facts["mean_margin"]) == (0.5, 2.5)
    assert facts["rows_by_family"] == {"sort": 2}


def test_the_order_of_names_does_not_shape_the_result(run_stage: Any, response: Any, scores: Any) -> None:
    one = _inputs(response, scores, 0.1, 0.7, 0.3, truth=scores(p_0=0.2, p_1=0.1, p_2=0.4))
    other = {name: one[name] for name in ("truth", "reward", "responses")}
    assert _pair(run_stage, one).bytes == _pair(run_stage, other).bytes

from typing import Any

import pytest

from compiler.artifacts import DialogueRow
from runtime.rows import read_rows


def _filter(run_stage: Any, inputs: Any, at_least: dict[str, float], per_prompt: int = 1) -> Any:
    names = [name for name in inputs if name != "responses"]
    fields = {
        "responses": "responses",
        "scores": {name: name for name in names},
        "at_least": at_least,
        "per_prompt": per_prompt,
    }
    return run_stage("filter", fields, inputs)


def _kept(ran: Any) -> list[tuple[str, str]]:
    return [(row.prompt_id, row.messages[-1].content) for row in read_rows(ran.output, DialogueRow)]


def test_only_what_reaches_every_threshold_is_kept(run_stage: Any, response: Any, scores: Any) -> None:
    inputs = {
        "responses": [response("p", 0), response("p", 1), response("q", 0), response("r", 0)],
        "truth": scores(p_0=0.0, p_1=1.0, q_0=1.0, r_0=1.0),
        "reward": scores(p_0=9.0, p_1=2.0, q_0=1.9, r_0=None),
    }
    ran = _filter(run_stage, inputs, {"truth": 1.0, "reward": 2.0})
    assert _kept(ran) == [("p", "p 1"), ("r", "r 0")]
    assert ran.facts["rejected"] == {"reward below 2": 1, "truth below 1": 1}


def test_the_best_come_first_and_the_rest_is_counted(run_stage: Any, response: Any, scores: Any) -> None:
    inputs = {
        "responses": [response("p", sample) for sample in range(4)],
        "reward": scores(p_0=1.0, p_1=3.0, p_2=2.0, p_3=3.0),
    }
    assert _kept(_filter(run_stage, inputs, {"reward": 0.0})) == [("p", "p 1")]
    ran = _filter(run_stage, inputs, {"reward": 0.0}, per_prompt=3)
    assert _kept(ran) == [("p", "p 1"), ("p", "p 3"), ("p", "p 2")]
    assert ran.facts["rejected"] == {"more than per_prompt": 1}


def test_what_was_cut_off_or_said_before_is_not_learnt(run_stage: Any, response: Any, scores: Any) -> None:
    inputs = {
        "responses": [response("p", 0, "x"), response("p", 1, "x"), response("p", 2, "y", finished=False)],
        "truth": scores(p_0=1.0, p_1=1.0, p_2=1.0),
    }
    ran = _filter(run_stage, inputs, {"truth": 1.0}, per_prompt=5)
    assert _kept(ran) == [("p", "x")]
    assert ran.facts["rejected"] == {"duplicate": 1, "unfinished": 1}


def test_the_waterfall_ends_at_the_rows_and_loses_what_was_rejected(run_stage: Any, response: Any, scores: Any) -> None:
    inputs = {
        "responses": [response("p", 0), response("p", 1), response("p", 2, finished=False), response("q", 0)],
        "truth": scores(p_0=1.0, p_1=1.0, p_2=1.0, q_0=0.0),
    }
    facts = _filter(run_stage, inputs, {"truth": 1.0}).facts
    assert [stop["rows"] for stop in facts["waterfall"]] == [4, 3, 2, 2, 1]
    assert facts["rows"] == 1
    assert (facts["prompts"], facts["prompts_with_rows"]) == (2, 1)
    assert sum(facts["rejected"].values()) == 3
    assert (facts["rows_by_family"], facts["responses_by_family"]) == ({"sort": 1}, {"sort": 4})


def test_rows_keep_the_tokens_that_were_sampled(run_stage: Any, response: Any, scores: Any) -> None:
    inputs = {"responses": [response("p", 5)], "truth": scores(p_5=1.0)}
    (row,) = read_rows(_filter(run_stage, inputs, {"truth": 1.0}).output, DialogueRow)
    assert (row.answer_ids, row.origin, row.prompt_id) == ((7, 5, 4), "model", "p")
    assert [message.role for message in row.messages] == ["user", "assistant"]


def test_scores_of_other_responses_are_an_error(run_stage: Any, response: Any, scores: Any) -> None:
    with pytest.raises(ValueError, match="p-0"):
        _filter(run_stage, {"responses": [response("p", 0)], "truth": scores(q_0=1.0)}, {"truth": 1.0})

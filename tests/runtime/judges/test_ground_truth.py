from typing import Any

import pytest

from compiler.artifacts import ATTRIBUTES, Message, ResponseRow
from runtime.judges.ground_truth import score


def _response(prompt: str, response: str) -> Any:
    return ResponseRow(
        id="p-0",
        prompt_id="p",
        family="sort",
        messages=(Message(role="user", content=prompt),),
        response=response,
        response_ids=(9, 4),
        by="policy",
        finished=True,
        logprob=-1.0,
    )


@pytest.mark.parametrize(("response", "expected"), [("1 4 7", 1.0), ("7 4 1", 0.0), ("", 0.0)])
def test_the_score_is_whether_the_answer_is_right(response: str, expected: float) -> None:
    row = score(_response(">>> sort 7 1 4 up", response))
    assert (row.response_id, row.score) == ("p-0", expected)
    assert tuple(row.attributes) == ATTRIBUTES


def test_an_answer_to_no_task_is_an_error_and_not_a_low_score() -> None:
    with pytest.raises(ValueError, match="p-0"):
        score(_response("hello", "1 4 7"))


def test_a_prompt_with_a_check_is_judged_by_it_whatever_its_family_is_called() -> None:
    check = {"verifier": "numeric", "answer": "8"}
    row = _response("How many?", "It must be 8.").model_copy(update={"family": "gsm8k", "check": check})
    assert score(row).score == 1.0
    assert score(row.model_copy(update={"response": "It must be 9."})).score == 0.0


def test_what_nothing_can_check_gets_no_score() -> None:
    assert score(_response("Say something.", "Something.").model_copy(update={"family": "open_qa"})).score is None


def test_the_share_of_instructions_followed_is_the_correctness() -> None:
    asked = [{"type": "punctuation:no_comma"}, {"type": "startend:quotation"}]
    row = _response("Say.", "No commas here").model_copy(
        update={"check": {"verifier": "instructions", "instructions": asked}}
    )
    assert (score(row).score, score(row).attributes) == (0.0, {"correctness": 2.0})

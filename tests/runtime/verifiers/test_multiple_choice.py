from typing import Any

import pytest

from runtime import verifiers
from runtime.verifiers.multiple_choice import chosen


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("B", "B"),
        ("(c)", None),
        ("The answer is (C).", "C"),
        ("A is tempting, but the correct answer is D", "D"),
        ("Answer: **B**", "B"),
        ("B) because a whole number is needed", "B"),
        ("So \\boxed{\\text{A}}", "A"),
        ("A cat sat. I saw it.", None),
        ("I think it is C.", "C"),
        ("", None),
    ],
)
def test_the_letter_that_a_response_settles_on(response: str, letter: str | None) -> None:
    assert chosen(response) == letter


def test_indices_and_letters_are_answers() -> None:
    assert verifiers.prepare("multiple_choice", 2, {}) == {"verifier": "multiple_choice", "answer": "C"}
    assert verifiers.prepare("multiple_choice", "(d)", {})["answer"] == "D"
    assert verifiers.verify({"verifier": "multiple_choice", "answer": "D"}, "Answer: D").passed
    assert not verifiers.verify({"verifier": "multiple_choice", "answer": "D"}, "Answer: C").passed


@pytest.mark.parametrize("value", [None, -1, 77, "yes", True, ""])
def test_what_is_no_letter_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="letter"):
        verifiers.prepare("multiple_choice", value, {})

from collections import Counter
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.artifacts import Message
from compiler.schema.data import Split
from runtime.splits import part_of, prompt_text

SHARES = {"evaluation": 0.2, "reward": 0.15, "sft": 0.25, "preference": 0.4}
SPLIT = Split(salt="tiny", shares=SHARES)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (">>> rev k t a", "sft"),
        (">>> sort 7 1 4 up", "reward"),
        ("say dog and red 3 times", "sft"),
        ("list 2 animals and 1 color", "preference"),
        ("write 2 words without a and e", "evaluation"),
        ("Tom has 12 apples and gets 5 more. How many?", "preference"),
    ],
)
def test_parts_never_change(text: str, part: str) -> None:
    assert part_of(SPLIT, text) == part


@given(st.text(max_size=40))
def test_case_and_spacing_make_no_other_prompt(text: str) -> None:
    assert part_of(SPLIT, text) == part_of(SPLIT, f"  {text.replace(' ', '   ')}\n")
    if text.isascii():
        assert part_of(SPLIT, text) == part_of(SPLIT, text.upper())


@given(st.text(max_size=40))
def test_the_order_in_which_parts_are_listed_does_not_matter(text: str) -> None:
    assert part_of(SPLIT, text) == part_of(Split(salt="tiny", shares=dict(reversed(SHARES.items()))), text)


def test_shares_are_what_was_asked() -> None:
    rows = 20_000
    counts = Counter(part_of(SPLIT, f"prompt {number}") for number in range(rows))
    for part, share in SHARES.items():
        assert abs(counts[part] / rows - share) < 4 * sqrt(share * (1 - share) / rows)
    assert counts[None] == 0


def test_what_the_shares_leave_over_belongs_to_no_part() -> None:
    split = Split(salt="tiny", shares={"sft": 0.25, "evaluation": 0.25})
    counts = Counter(part_of(split, f"prompt {number}") for number in range(20_000))
    assert abs(counts[None] / 20_000 - 0.5) < 0.015


def test_another_salt_divides_independently() -> None:
    other = Split(salt="other", shares=SHARES)
    both = sum(
        part_of(SPLIT, f"prompt {number}") == part_of(other, f"prompt {number}") == "preference"
        for number in range(20_000)
    )
    assert abs(both / 20_000 - 0.16) < 0.011


def test_a_dialogue_is_placed_by_what_the_user_says() -> None:
    messages = [
        Message(role="system", content="be brief"),
        Message(role="user", content="one"),
        Message(role="assistant", content="two"),
        Message(role="user", content="three"),
    ]
    assert prompt_text(messages) == "one\nthree"

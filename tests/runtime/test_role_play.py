import time

import pytest

from compiler.artifacts import Message
from runtime.asking import Rejected
from runtime.role_play import user_turn, without_filler

HISTORY = (Message(role="user", content="Why is the sky blue?"), Message(role="assistant", content="Scattering."))


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Thank you so much for the explanation! What about Mars?", "What about Mars?"),
        ("Thanks, now explain the second step.", "Now explain the second step."),
        ("That's really helpful. And at night?", "And at night?"),
        ("Great answer! Can you shorten it? Have a nice day!", "Can you shorten it?"),
        ("Wow, that is amazing. I appreciate your help. Bye!", ""),
        (
            "This is good for the garden, but is it good for cats?",
            "This is good for the garden, but is it good for cats?",
        ),
        ("What is a great answer to that?", "What is a great answer to that?"),
        ("I like that idea less than the first. Why two?", "I like that idea less than the first. Why two?"),
        ("It was 3.5 metres long.", "It was 3.5 metres long."),
        ("Goodness has nothing to do with it.", "Goodness has nothing to do with it."),
        ("First point.\n\nThanks!\n\nSecond point.", "First point.\n\nSecond point."),
    ],
)
def test_politeness_goes_and_everything_else_stays(said: str, kept: str) -> None:
    assert without_filler(said) == kept


def test_names_and_the_other_sides_words_are_no_part_of_a_turn() -> None:
    turn = user_turn("**User:** And on Mars?\nAssistant: On Mars it is red.", HISTORY)
    assert turn == Message(role="user", content="And on Mars?")
    assert user_turn('"And on Mars?"', HISTORY) == turn


def test_what_is_empty_or_said_before_is_rejected_with_the_reason() -> None:
    assert user_turn("Thanks!", HISTORY) == Rejected("empty answer")
    assert user_turn("why is the  sky blue?", HISTORY) == Rejected("repeats an earlier turn")
    long = Message(role="assistant", content="A night train is slow and old and takes its guests over the hills.")
    again = user_turn("So a night train is slow and old and takes its guests over the hills?", (*HISTORY, long))
    assert again == Rejected("repeats an earlier turn")
    assert isinstance(user_turn("Why is a night train slow and old?", (*HISTORY, long)), Message)
    instructions = "Go on as that person. You are in a hurry: one short sentence or a few words."
    parroted = user_turn("You are in a hurry: one short sentence!", HISTORY, instructions=instructions)
    assert parroted == Rejected("repeats its instructions")
    assert isinstance(user_turn("You are in a hurry, I see?", HISTORY, instructions=instructions), Message)
    assert user_turn("Thanks!", HISTORY, remove_filler=False) == Message(role="user", content="Thanks!")


def test_no_text_takes_long() -> None:
    begun = time.process_time()
    for text in (
        "thanks " * 3000,
        "oh " * 5000,
        "great, " * 3000,
        "it is so " * 3000,
        "\n" * 9999,
        "that is a " * 2000,
    ):
        without_filler(text)
    assert time.process_time() - begun < 5

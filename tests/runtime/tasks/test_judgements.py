"""What passes and what does not, by example."""

import pytest

from runtime import tasks

CASES = [
    ("reverse", ">>> rev k t a", "a t k", True),
    ("reverse", ">>> rev k t a", " a t k\n", True),
    ("reverse", ">>> rev k t a", "a t k k", False),
    ("reverse", ">>> rev k t a", "A T K", False),
    ("reverse", ">>> rev k t a", "atk", False),
    ("sort", ">>> sort 7 1 4 up", "1 4 7", True),
    ("sort", ">>> sort 7 1 4 down", "7 4 1", True),
    ("sort", ">>> sort 7 1 4 down", "1 4 7", False),
    ("sort", ">>> sort 7 1 4 up", "1 4", False),
    ("word_problem", "Tom has 8 apples and gets 5 more. How many?", "8+5=13", True),
    ("word_problem", "Tom has 8 apples and gets 5 more. How many?", "13", False),
    ("word_problem", "Tom has 8 apples and gets 5 more. How many?", "8 + 5 = 13", False),
    ("word_problem", "Tom has 8 apples and gets 5 more. How many?", "5+8=13", False),
    ("word_problem", "Eva has 5 figs and gives 5 away. How many?", "5-5=0", True),
    ("repeat", "say dog and red 2 times", "dog red dog red", True),
    ("repeat", "say dog and red 2 times", "red dog red dog", False),
    ("repeat", "say dog and red 2 times", "dog red dog red dog red", False),
    ("list_things", "list 2 animals and 1 color", "cat dog red", True),
    ("list_things", "list 2 animals and 1 color", "red dog cat", True),
    ("list_things", "list 2 animals and 1 color", "cat cat red", False),
    ("list_things", "list 2 animals and 1 color", "cat dog red pen", False),
    ("list_things", "list 2 animals and 1 color", "CAT DOG RED", False),
    ("list_things", "list 2 animals and 1 color in capitals", "CAT DOG RED", True),
    ("list_things", "list 2 animals and 1 color in capitals", "CAT Dog RED", False),
    ("list_things", "list 2 animals and 1 color without r", "cat dog red", False),
    ("list_things", "list 2 animals and 1 color without r", "cat dog pink", True),
    ("words_without", "write 2 words without a and e", "dog pig", True),
    ("words_without", "write 2 words without a and e", "dog cat", False),
    ("words_without", "write 2 words without a and e", "dog dog", False),
    ("words_without", "write 2 words without a and e", "dog pig fox", False),
    ("words_without", "write 2 words without a and e", "dog zzz", False),
    ("words_without", "write 1 word starting with p without l and r in capitals", "PIG", True),
    ("words_without", "write 1 word starting with p without l and r in capitals", "DOG", False),
]


@pytest.mark.parametrize(("family", "prompt", "response", "passed"), CASES)
def test_a_response_passes_when_it_is_what_was_asked(family: str, prompt: str, response: str, passed: bool) -> None:
    module = tasks.find(family)
    task = module.parse(prompt)
    assert task is not None
    assert module.judge(task, response).passed is passed


@pytest.mark.parametrize(
    ("family", "prompt"),
    [
        ("reverse", ">>> rev k k a"),
        ("reverse", ">>> rev k"),
        ("reverse", ">>> rev a b c d e"),
        ("sort", ">>> sort 1 1 up"),
        ("sort", ">>> sort 1 2"),
        ("word_problem", "Tom has 3 apples and gives 5 away. How many?"),
        ("word_problem", "Tom has 21 apples and gets 5 more. How many?"),
        ("word_problem", "Tom has 03 apples and gets 5 more. How many?"),
        ("word_problem", "Tom has 3 dogs and gets 5 more. How many?"),
        ("repeat", "say dog and dog 2 times"),
        ("repeat", "say dog and list 2 times"),
        ("repeat", "say dog and red 6 times"),
        ("list_things", "list 1 animals and 1 color"),
        ("list_things", "list 2 animal and 1 color"),
        ("list_things", "list 2 animals and 1 animal"),
        ("list_things", "list 2 fruits and 1 color without s"),
        ("words_without", "write 2 words without e and a"),
        ("words_without", "write 1 words without a and e"),
        ("words_without", "write 1 word starting with a without b and e"),
        ("words_without", "write 4 words starting with l without a and e"),
    ],
)
def test_what_draw_could_not_have_written_is_no_task(family: str, prompt: str) -> None:
    assert tasks.find(family).parse(prompt) is None


def test_attributes_tell_near_from_far_and_short_from_long() -> None:
    module = tasks.find("reverse")
    task = module.parse(">>> rev k t a")
    assert task is not None
    near, far, long = (module.judge(task, text).attributes for text in ("a t", "dog", "a t k a t k a t"))
    assert near["correctness"] == pytest.approx(4 * 2 / 3, abs=1e-3)
    assert far["correctness"] == far["coherence"] == far["helpfulness"] == 0
    assert near["helpfulness"] == 2
    assert near["verbosity"] == pytest.approx(4 * 2 / 6, abs=1e-3)
    assert long["verbosity"] == 4

"""What holds for every task family."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.artifacts import ATTRIBUTES
from compiler.schema.data import Split
from runtime import tasks
from runtime.splits import part_of
from runtime.tasks import words

SEEDS = st.integers(0, 2**32)
every_family = pytest.mark.parametrize("family", tasks.FAMILIES)


@every_family
@given(seed=SEEDS)
@settings(max_examples=150, deadline=None)
def test_a_prompt_is_read_back_as_the_task_that_wrote_it(family: str, seed: int) -> None:
    module = tasks.find(family)
    task = module.draw(random.Random(seed))
    assert task.family == family
    assert module.parse(task.prompt) == task


@every_family
@given(seed=SEEDS)
@settings(max_examples=150, deadline=None)
def test_answers_pass_and_mistakes_do_not(family: str, seed: int) -> None:
    module, rng = tasks.find(family), random.Random(seed)
    task = module.draw(rng)
    answer, mistake = module.answer(task, rng), module.mistake(task, rng)
    assert module.judge(task, answer).passed
    assert not module.judge(task, mistake).passed
    assert mistake == " ".join(mistake.split()) != ""


@every_family
@given(seed=SEEDS, response=st.text(alphabet="abcdog CATred0123456789+-= \n", max_size=40))
@settings(max_examples=100, deadline=None)
def test_attributes_are_complete_and_on_the_scale(family: str, seed: int, response: str) -> None:
    module, rng = tasks.find(family), random.Random(seed)
    task = module.draw(rng)
    for text in (response, module.answer(task, rng), module.mistake(task, rng), ""):
        verdict = module.judge(task, text)
        assert tuple(verdict.attributes) == ATTRIBUTES
        assert all(0 <= value <= 4 for value in verdict.attributes.values())
        assert verdict.passed == (verdict.attributes["helpfulness"] == 4) == (verdict.attributes["correctness"] == 4)


@every_family
@given(seed=SEEDS)
@settings(max_examples=50, deadline=None)
def test_a_correct_answer_is_as_long_as_asked_and_well_formed(family: str, seed: int) -> None:
    module, rng = tasks.find(family), random.Random(seed)
    task = module.draw(rng)
    attributes = module.judge(task, module.answer(task, rng)).attributes
    assert attributes["coherence"] == 4
    assert attributes["verbosity"] == 2


@every_family
@given(
    seed=SEEDS,
    place=st.integers(0, 80),
    cut=st.integers(0, 6),
    written=st.text(alphabet="abkz 0159+-?.>inwithoutTom\n\u0665", max_size=4),
)
@settings(max_examples=300, deadline=None)
def test_an_edited_prompt_is_none_or_exactly_another_prompt(
    family: str, seed: int, place: int, cut: int, written: str
) -> None:
    module = tasks.find(family)
    prompt = module.draw(random.Random(seed)).prompt
    edited = prompt[:place] + written + prompt[place + cut :]
    task = module.parse(edited)
    if task is not None:
        assert task.prompt == edited
        assert module.judge(task, module.answer(task, random.Random(0))).passed


@every_family
def test_spacing_case_and_line_ends_are_not_forgiven(family: str) -> None:
    module = tasks.find(family)
    prompt = module.draw(random.Random(0)).prompt
    for text in (
        "",
        " " + prompt,
        prompt + " ",
        prompt + "\n",
        prompt.replace(" ", "  ", 1),
        prompt.upper(),
        prompt * 2,
    ):
        assert module.parse(text) is None, text


def test_no_prompt_belongs_to_two_families() -> None:
    rng = random.Random(0)
    for family in tasks.FAMILIES:
        for _ in range(100):
            prompt = tasks.find(family).draw(rng).prompt
            assert [name for name in tasks.FAMILIES if tasks.find(name).parse(prompt) is not None] == [family]


@every_family
def test_there_are_thousands_of_prompts_evenly_drawn_and_hundreds_to_hold_out(family: str) -> None:
    rng = random.Random(0)
    draw = tasks.find(family).draw
    drawn = Counter(draw(rng).prompt for _ in range(12_000))
    split = Split(salt="any", shares={"evaluation": 0.2})
    # What was seen is a lower bound of what there is.
    assert len(drawn) > 4000
    assert sum(part_of(split, prompt) == "evaluation" for prompt in drawn) >= 400
    assert max(drawn.values()) <= 40


def test_the_words_are_few_and_no_thing_is_of_two_kinds() -> None:
    assert len(words.THINGS) == sum(map(len, words.KINDS.values())) == 48
    rng = random.Random(0)
    vocabulary: set[str] = set()
    for family in tasks.FAMILIES:
        module = tasks.find(family)
        for _ in range(3000):
            task = module.draw(rng)
            for word in f"{task.prompt} {module.answer(task, rng)}".replace("?", "").replace(".", "").split():
                if word.isalpha() and len(word) > 1:
                    vocabulary.add(word if word in words.NAMES else word.lower())
    assert 80 <= len(vocabulary) <= 100


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(ValueError, match="reverse"):
        tasks.find("os")

"""Every type of instruction: what follows it, what just misses it, and that it can be drawn, said and obeyed."""

import json
import random
from pathlib import Path
from typing import Any, get_args

import pytest

from compiler.schema.generators import Instruction
from runtime import instructions
from runtime.instructions.length_constraints import sentences

PUBLIC = Path(__file__).parents[4] / "shared" / "data" / "ifeval_public.jsonl"

CASES: list[tuple[str, dict[str, Any], list[str], list[str]]] = [
    ("keywords:existence", {"keywords": ["River", "boat"]}, ["A boat on the river", "boats, rivers"], ["a boat"]),
    (
        "keywords:frequency",
        {"keyword": "ox", "frequency": 2, "relation": "at least"},
        ["Ox and ox", "a fox in a box"],
        ["one ox"],
    ),
    ("keywords:frequency", {"keyword": "ox", "frequency": 2, "relation": "less than"}, ["one ox", "none"], ["ox, OX"]),
    ("keywords:forbidden_words", {"forbidden_words": ["tax"]}, ["taxes and syntax"], ["A Tax!"]),
    (
        "keywords:letter_frequency",
        {"letter": "Z", "let_frequency": 2, "let_relation": "at least"},
        ["zigzag", "Z z"],
        ["zoo"],
    ),
    ("keywords:letter_frequency", {"letter": "!", "let_frequency": 1, "let_relation": "less than"}, ["no"], ["yes!"]),
    (
        "language:response_language",
        {"language": "de"},
        ["Das ist ein ganz gewöhnlicher deutscher Satz über das Wetter und den Garten."],
        ["This is quite an ordinary English sentence about the weather and the garden."],
    ),
    (
        "language:response_language",
        {"language": "kn"},
        ["ನಾನು ಇಂದು ಮನೆಗೆ ಹೋಗುತ್ತೇನೆ ಮತ್ತು ಪುಸ್ತಕ ಓದುತ್ತೇನೆ"],
        ["मैं आज घर जाऊँगा और किताब पढ़ूँगा"],
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 3, "relation": "at least"},
        ["One. Two! Three?", "Dr. Who went. He saw 3.5 of it! And so on"],
        ["Mr. A. B. Smith paid 3.50 at 5 p.m. sharp. He left.", "..."],
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 2, "relation": "less than"},
        ["One, e.g. this one."],
        ["One. Two."],
    ),
    (
        "length_constraints:number_paragraphs",
        {"num_paragraphs": 2},
        ["a\n***\nb", "***\na\n***\nb\n***"],
        ["a", "a\n\nb", "a\n***\n***\nb", "a *** b *** c"],
    ),
    ("length_constraints:number_words", {"num_words": 3, "relation": "at least"}, ["one two three"], ["one two"]),
    ("length_constraints:number_words", {"num_words": 3, "relation": "less than"}, ["one two"], ["one two three"]),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "however"},
        ["First.\n\nHowever, second.", 'First.\n\n\n"However" it is.'],
        ["First.\n\nBut however.", "First.\n\nHowever.\n\nThird.", "However"],
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, ["Dear [name], on [date]"], ["Dear [name]"]),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.S."},
        ["Bye.\nP.S. One more", "Bye. p. s. more"],
        ["Bye. Ups"],
    ),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, ["Bye.\nP.P.S. More"], ["Bye.\nP.S. More"]),
    (
        "detectable_format:number_bullet_lists",
        {"num_bullets": 2},
        ["* a\n* b", "intro\n- a\n  * b"],
        ["* a", "* a\n* b\n* c", "**a**\n* b"],
    ),
    (
        "detectable_format:constrained_response",
        {},
        ["My answer is no.", "Well: My answer is maybe."],
        ["No.", "My answer is perhaps."],
    ),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        ["*one* and **two**", "* bullet with *one*\n*two*"],
        ["*one*", "**  ** and *one*"],
    ),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Part", "num_sections": 2},
        ["Part 1\na\nPart 2\nb"],
        ["Part 1\na\nSection 2", "Part one, Part two"],
    ),
    (
        "detectable_format:json_format",
        {},
        ['{"a": [1]}', '```json\n{"a": 1}\n```', "```\n[]\n```"],
        ["{a: 1}", 'Here: {"a": 1}', "[" * 100_000],
    ),
    ("detectable_format:title", {}, ["<<A song>>\nla la"], ["<A song>", "<< >>", "<<\n>>"]),
    ("combination:two_responses", {}, ["a\n******\nb"], ["a", "a******a", "a******b******c", "******a"]),
    (
        "combination:repeat_prompt",
        {"prompt_to_repeat": "Why is it so?"},
        ["why is it so? Because."],
        ["Sure! Why is it so?"],
    ),
    (
        "startend:end_checker",
        {"end_phrase": "That is all."},
        ["Well. That is all.", '"Well. that is all."\n'],
        ["That is all. Bye"],
    ),
    ("startend:quotation", {}, ['"All of it."'], ['"Half" of it', '"']),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        ["THE END of it", "I know NASA"],
        ["The END"],
    ),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 1, "capital_relation": "less than"},
        ["nothing of it"],
        ["the END"],
    ),
    (
        "change_case:english_capital",
        {},
        ["THIS IS AN ENGLISH SENTENCE ABOUT THE WEATHER OF TODAY."],
        ["This is an English sentence.", "DAS IST EIN DEUTSCHER SATZ ÜBER DAS WETTER VON GESTERN."],
    ),
    (
        "change_case:english_lowercase",
        {},
        ["this is an english sentence about the weather of today."],
        ["This is an English sentence.", "das ist ein deutscher satz über das wetter von gestern."],
    ),
    ("punctuation:no_comma", {}, ["No. Never; not once"], ["No, never"]),
]


@pytest.mark.parametrize(("name", "parameters", "good", "bad"), CASES, ids=[case[0] for case in CASES])
def test_what_follows_and_what_just_misses(
    name: str, parameters: dict[str, Any], good: list[str], bad: list[str]
) -> None:
    instructions.check_parameters(name, parameters)
    for response in good:
        assert instructions.follows(name, parameters, response), response
    for response in bad:
        assert not instructions.follows(name, parameters, response), response[:80]


def test_all_25_types_are_there_and_tried_and_nothing_empty_follows_any() -> None:
    declared = {name for name in get_args(Instruction) if ":" in name}
    assert set(instructions.TYPES) == declared == {case[0] for case in CASES}
    assert len(declared) == 25
    assert not any(instructions.follows(name, parameters, " \n") for name, parameters, _, _ in CASES)


def test_a_group_is_all_of_its_types() -> None:
    assert instructions.types_of("startend") == ("startend:end_checker", "startend:quotation")
    assert instructions.types_of("startend:quotation") == ("startend:quotation",)
    assert sum(len(instructions.types_of(name)) for name in get_args(Instruction) if ":" not in name) == 25


@pytest.mark.parametrize("name", instructions.TYPES)
def test_what_is_drawn_fits_the_type_and_is_said_in_words(name: str) -> None:
    said = set()
    for seed in range(20):
        drawn = instructions.draw(name, "Explain the harbour of Lisbon.", random.Random(seed))
        instructions.check_parameters(name, drawn)
        assert drawn == instructions.draw(name, "Explain the harbour of Lisbon.", random.Random(seed))
        said.add(instructions.words(name, drawn, seed))
        assert "{" not in instructions.words(name, drawn, seed)
    assert len(said) >= 3


def test_bad_parameters_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="keywords:existenz"):
        instructions.check_parameters("keywords:existenz", {})
    with pytest.raises(ValueError, match="takes keywords, not words"):
        instructions.check_parameters("keywords:existence", {"words": ["a"]})
    with pytest.raises(ValueError, match="num_words is '3'"):
        instructions.check_parameters("length_constraints:number_words", {"num_words": "3", "relation": "at least"})
    with pytest.raises(ValueError, match="must be one of at least, less than"):
        instructions.check_parameters("length_constraints:number_words", {"num_words": 3, "relation": "exactly"})


def test_sentences_are_counted_as_people_count_them() -> None:
    assert sentences("She paid $3.50 to Mrs. Dalloway at the U.S. embassy. Why? Nobody knows!") == 3
    assert sentences("No stop at all") == 1
    assert sentences("今天天气很好。我们去公园吧。") == 2


@pytest.mark.skipif(not PUBLIC.exists(), reason="IFEval's prompts are not beside the repository")
def test_every_prompt_of_ifeval_has_a_check() -> None:
    from runtime import verifiers

    rows = [json.loads(line) for line in PUBLIC.read_text(encoding="utf-8").splitlines()]
    checks = [verifiers.prepare("instructions", row["kwargs"], row) for row in rows]
    assert len(checks) == 270
    assert {one["type"] for check in checks for one in check["instructions"]} == set(instructions.TYPES)
    failed = [verifiers.verify(check, "Hello, this is an answer.").passed for check in checks]
    assert 0 < sum(failed) < 100

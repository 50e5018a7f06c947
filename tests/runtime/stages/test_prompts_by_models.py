"""Generators that ask a model: a real server on loopback answers, well or badly, and what is kept is what was said."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from compiler.artifacts import DocumentRow, Message, PromptRow, TopicRow
from runtime.rows import messages_id, read_rows

SPLIT = {"salt": "s", "shares": {"all": 1.0}}
SAMPLING = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 256}
TOPICS = [TopicRow(id=f"t{number}", topic=f"topic {number}", origin="hand_made") for number in range(12)]
NASTY = "{{ 7 * 7 }} {% for x in y %} $(reboot) `id` \u2028\u2029\x85 \x00 # \\u0041 </s>"


def _prompt(text: str) -> PromptRow:
    messages = (Message(role="user", content=text),)
    return PromptRow(id=messages_id(messages), family="adopted", messages=messages, origin="adopted")


def _run(run_stage: Any, generator: Any, inputs: Any, count: int, **fields: Any) -> Any:
    given = {"generator": generator, "count": count, "split": SPLIT, "parts": ("all",), "seed": 1, **fields}
    return run_stage("prompts", given, inputs)


def _texts(ran: Any) -> list[str]:
    return [row.messages[-1].content for row in read_rows(ran.output, PromptRow)]


def _adds_up(ran: Any) -> None:
    asked = ran.facts["waterfall"][0]["rows"]
    assert asked == ran.facts["rows"] + sum(ran.facts["rejected"].values())
    stops = [stop["rows"] for stop in ran.facts["waterfall"]]
    assert stops == sorted(stops, reverse=True) and stops[-1] == ran.facts["rows"]


def _listing(last: str, _: Sequence[Any]) -> str:
    count = int(re.search(r"exactly (\d+) items", last)[1])  # type: ignore[index]
    (about,) = re.findall(r"^(?:Topic|What it is about|About|Part|Idea): (.*)$", last, re.MULTILINE)
    return "\n".join(f"{number}. About {about}, why {number}?" for number in range(1, count + 1))


OPEN_QA = {
    "kind": "open_qa",
    "model": "m",
    "topics": "topics",
    "per_topic": 3,
    "refinements": (),
    "sampling": SAMPLING,
}


def test_questions_are_the_items_of_lists_and_no_more_are_asked_for_than_needed(run_stage: Any, teach: Any) -> None:
    teacher = teach(_listing)
    ran = _run(run_stage, OPEN_QA, {"m": teacher, "topics": TOPICS}, 24)
    texts = _texts(ran)
    assert len(set(texts)) == 24
    assert all(re.fullmatch(r"About topic \d+, why [123]\?", text) for text in texts)
    assert len(teacher.asked) == 8
    _adds_up(ran)
    assert ran.bytes == _run(run_stage, OPEN_QA, {"m": teacher, "topics": TOPICS}, 24).bytes


def test_each_question_is_replaced_by_one_version_for_each_refinement(run_stage: Any, teach: Any) -> None:
    def answer(last: str, messages: Sequence[Any]) -> str:
        if "Write it again" not in last:
            return _listing(last, messages)
        (request,) = re.findall(r"^Request:\n(.*)$", last, re.MULTILINE)
        return f"{'With context' if 'situation' in last else 'As a table'}: {request}"

    generator = {**OPEN_QA, "per_topic": 2, "refinements": ("context", "form")}
    ran = _run(run_stage, generator, {"m": teach(answer), "topics": TOPICS[:3]}, 100)
    kinds = Counter(text.partition(":")[0] for text in _texts(ran))
    assert kinds == {"With context": 6, "As a table": 6}
    _adds_up(ran)


def test_bad_answers_are_counted_by_reason_and_never_become_rows(run_stage: Any, teach: Any) -> None:
    def answer(last: str, messages: Sequence[Any]) -> str | tuple[str, str]:
        if "YAML list" in last:
            answered = last.rpartition("---\n")[2]
            if "bread" in answered:
                return '- "I like bread"\n- "I like salt"\n- "I like wine"'
            return '- "I like beer"' if "salt" in answered else "I cannot do that."
        number = int(re.search(r"Topic: topic (\d+)", last)[1])  # type: ignore[index]
        return [
            "1. One?\n2. Two?\n3. Three?",
            "I like bread. I like salt. I like wine.",
            "I like salt.",
            "I like nothing.",
            ("1. One?\n2. Tw", "length"),
            "1. One?\n2. Four?",
            "   ",
            "1. Five?\n2. Six?\n3. Seven?\n4. Eight?",
        ][number]

    ran = _run(run_stage, OPEN_QA, {"m": teach(answer), "topics": TOPICS[:8]}, 100)
    assert sorted(_texts(ran)) == sorted(
        ["One?", "Two?", "Three?", "I like bread", "I like salt", "I like wine", "Four?", "Five?", "Six?", "Seven?"]
    )
    assert ran.facts["rejected"] == {
        "cut off": 3,
        "duplicate": 1,
        "empty answer": 3,
        "fewer than asked for": 1,
        "item that the answer does not have": 3,
        "no list": 3,
    }
    _adds_up(ran)


def test_nothing_that_can_be_used_is_an_error_that_says_why(run_stage: Any, teach: Any) -> None:
    with pytest.raises(ValueError, match=r"none of 36 .*'no list': 36"):
        _run(run_stage, OPEN_QA, {"m": teach(lambda *_: "no"), "topics": TOPICS}, 5)


def test_what_a_model_says_is_never_taken_for_a_template_nor_breaks_a_row(run_stage: Any, teach: Any) -> None:
    def answer(last: str, messages: Sequence[Any]) -> str:
        if "Write it again" in last:
            assert f"Request:\nAsk {NASTY.strip()}" in last
            return f"Again {NASTY} \ud83d"
        return f"1. Ask {NASTY}" if "YAML" not in last else "no"

    generator = {**OPEN_QA, "per_topic": 1, "refinements": ("length",)}
    ran = _run(run_stage, generator, {"m": teach(answer), "topics": TOPICS[:1]}, 1)
    (text,) = _texts(ran)
    assert text.startswith(f"Again {NASTY}".strip()[:40])
    assert len((ran.output / "rows.jsonl").read_bytes().split(b"\n")) == 2


def test_writing_asks_for_documents_of_each_type(run_stage: Any, teach: Any) -> None:
    teacher = teach(_listing)
    generator = {**OPEN_QA, "kind": "writing", "document_types": ("poem", "essay"), "per_topic": 4}
    ran = _run(run_stage, generator, {"m": teacher, "topics": TOPICS[:4]}, 100)
    assert {re.search("written: (.*)", asked)[1] for asked in teacher.asked} == {"poem", "essay"}  # type: ignore[index]
    _adds_up(ran)
    assert ran.facts["waterfall"][0]["rows"] == 16


def test_requests_about_a_text_stand_beside_it(run_stage: Any, teach: Any) -> None:
    documents = [DocumentRow(id=f"d{number}", text=f"Text number {number}.", origin="t") for number in range(20)]
    generator = {"kind": "closed_qa", "model": "m", "documents": "docs", "per_document": 2, "sampling": SAMPLING}
    teacher = teach(lambda *_: "1. Sum it up.\n2. What is it about?")
    texts = _texts(_run(run_stage, generator, {"m": teacher, "docs": documents}, 40))
    assert len(texts) == 40
    assert all(re.search(r"Text number \d+\.", text) for text in texts)
    assert sum("Sum it up." in text for text in texts) == 20
    assert len({text.replace("Sum it up.", "").replace("What is it about?", "")[:5] for text in texts}) > 3


@pytest.mark.parametrize(
    ("kind", "levels", "more"),
    [("math", ("beginner", "general"), {}), ("coding", ("beginner", "advanced"), {"language": "Python"})],
)
def test_problems_are_asked_for_at_each_level(run_stage: Any, teach: Any, kind: str, levels: Any, more: Any) -> None:
    teacher = teach(_listing)
    generator = {"kind": kind, "model": "m", "keywords": "topics", "levels": levels, "per_keyword": 2}
    ran = _run(run_stage, {**generator, "sampling": SAMPLING, **more}, {"m": teacher, "topics": TOPICS[:3]}, 12)
    assert len(teacher.asked) == 6
    # The same words at two levels are one prompt.
    assert (ran.facts["rows"], ran.facts["rejected"]) == (6, {"duplicate": 6})
    assert {row.family for row in read_rows(ran.output, PromptRow)} == {kind}


def test_a_second_turn_follows_the_first_answer(run_stage: Any, teach: Any) -> None:
    def answer(last: str, messages: Sequence[Any]) -> str | tuple[str, str]:
        if "You play a person" in last:
            assert "Assistant: An answer to" in last
            (first,) = re.findall(r"You: (.*)", last)
            return "Thanks!" if "7" in first else f"User: And what else than {first}"
        return ("An answer to " + last, "length" if "3" in last else "stop")

    generator = {"kind": "two_turn", "model": "m", "prompts": "p", "sampling": SAMPLING}
    prompts = [_prompt(f"question {number}?") for number in range(10)]
    ran = _run(run_stage, generator, {"m": teach(answer), "p": prompts}, 10)
    rows = list(read_rows(ran.output, PromptRow))
    assert ran.facts["rejected"] == {"cut off": 1, "empty answer": 1}
    assert len(rows) == 8
    for row in rows:
        first, between, last = (message.content for message in row.messages)
        assert (between, last) == (f"An answer to {first}", f"And what else than {first}")


def test_new_prompts_of_a_sort_are_not_the_examples_again(run_stage: Any, teach: Any) -> None:
    examples = [_prompt(f"What is the weather in {place}?") for place in ("Rome", "Oslo", "Bonn", "Lyon")]
    said = Counter[str]()

    def answer(last: str, messages: Sequence[Any]) -> str:
        shown = re.findall(r"^What is the weather in .*$", last, re.MULTILINE)
        assert len(shown) == 2
        said["calls"] += 1
        return f"1. {shown[0].upper()}\n2. Read my mail number {'|'.join(sorted(shown))}."

    generator = {"kind": "few_shot", "model": "m", "examples": "x", "shots": 2, "sampling": SAMPLING}
    ran = _run(run_stage, generator, {"m": teach(answer), "x": examples}, 5)
    assert ran.facts["rows"] == 5
    assert ran.facts["rejected"]["an example again"] >= 5
    _adds_up(ran)


@pytest.mark.parametrize("form", ["multi_turn", "second_turn"])
def test_an_instruction_comes_after_an_answer_of_a_model(run_stage: Any, teach: Any, form: str) -> None:
    generator = {
        "kind": "instruction_following",
        "prompts": "p",
        "instructions": {"punctuation": 1.0},
        "form": form,
        "model": "m",
        "sampling": SAMPLING,
    }
    prompts = [_prompt(f"question {number}?") for number in range(10)]
    ran = _run(run_stage, generator, {"m": teach(lambda last, _: "Well, yes."), "p": prompts}, 15)
    rows = list(read_rows(ran.output, PromptRow))
    assert len(rows) == 15
    assert {row.messages[1].content for row in rows} == {"Well, yes."}
    assert all("comma" in row.messages[0 if form == "multi_turn" else 2].content for row in rows)

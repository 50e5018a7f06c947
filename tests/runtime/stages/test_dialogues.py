import re
from collections.abc import Sequence
from typing import Any

import pytest

from compiler.artifacts import DialogueRow, Message, PromptRow, ScoreRow
from runtime.judged import Opinion
from runtime.rows import messages_id, read_rows

SAMPLING = {"temperature": 0.0, "top_p": 1.0, "max_new_tokens": 64}


def _prompt(text: str) -> PromptRow:
    messages = (Message(role="user", content=text),)
    return PromptRow(id=messages_id(messages), family="open_qa", messages=messages, origin="open_qa")


PROMPTS = [_prompt(f"question {number}?") for number in range(9)]


def _play(run_stage: Any, teacher: Any, prompts: Any = PROMPTS, **fields: Any) -> Any:
    given = {
        "policy": "m",
        "prompts": "p",
        "turns": 3,
        "personas": ("normal", "complex", "concise"),
        "remove_filler": True,
        "sampling": SAMPLING,
        "seed": 1,
        **fields,
    }
    return run_stage("dialogues", given, {"m": teacher, "p": prompts})


def _player(last: str, messages: Sequence[Any]) -> str:
    if "You play a person" in last:
        turns = re.findall(r"^(?:You|Assistant): ", last, re.MULTILINE)
        return f"Thank you! And turn {len(turns) // 2 + 1}? Great."
    return f"Answer {sum(one['role'] == 'user' for one in messages)} to: {last}"


def test_both_sides_are_played_in_turns_and_politeness_is_cut(run_stage: Any, teach: Any) -> None:
    ran = _play(run_stage, teach(_player))
    rows = list(read_rows(ran.output, DialogueRow))
    assert len(rows) == 9
    for row, prompt in zip(rows, PROMPTS, strict=True):
        assert [message.role for message in row.messages] == ["user", "assistant"] * 3
        said = [message.content for message in row.messages]
        assert said[0] == prompt.messages[0].content
        assert said[2::2] == ["And turn 2?", "And turn 3?"]
        assert said[5] == "Answer 3 to: And turn 3?"
        assert (row.prompt_id, row.origin, row.family) == (prompt.id, "model", "open_qa")
    assert set(ran.facts["rows_by_persona"]) == {"normal", "complex", "concise"}
    assert ran.bytes == _play(run_stage, teach(_player)).bytes


def test_filler_stays_where_it_is_asked_to(run_stage: Any, teach: Any) -> None:
    ran = _play(run_stage, teach(_player), remove_filler=False)
    assert all("Thank you!" in row.messages[2].content for row in read_rows(ran.output, DialogueRow))


def test_a_dialogue_that_breaks_off_is_dropped_and_counted(run_stage: Any, teach: Any) -> None:
    def answer(last: str, messages: Sequence[Any]) -> str | tuple[str, str]:
        if "You play a person" in last:
            return "Thanks!" if "question 1?" in last else "QUESTION 2?" if "question 2?" in last else "Why?"
        if "question 3" in last:
            return "Well, it is", "length"
        return "Because." if last == "Why?" else f"So: {last}"

    ran = _play(run_stage, teach(answer), turns=2)
    assert ran.facts["rejected"] == {"cut off": 1, "user: empty answer": 1, "user: repeats an earlier turn": 1}
    assert [stop["rows"] for stop in ran.facts["waterfall"]] == [9, 8, 6, 6]


def test_what_is_scored_below_the_threshold_is_dropped(
    run_stage: Any, teach: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtime.judges import reward_model

    def judge(_: Any, rows: Any, ctx: Any) -> Opinion:
        assert all(len(row.messages) == 3 and row.messages[-1].role == "user" for row in rows)
        points = {row.id: None if "8" in row.messages[0].content else float(place) for place, row in enumerate(rows)}
        return Opinion([ScoreRow(response_id=row.id, score=points[row.id]) for row in rows])

    monkeypatch.setattr(reward_model, "judge", judge)
    weights = {"kind": "reward_model", "model": "m", "weights": {"helpfulness": 1.0}, "gate": 0.5}
    ran = _play(run_stage, teach(_player), turns=2, judge=weights, at_least=5.0)
    kept = [row.messages[0].content for row in read_rows(ran.output, DialogueRow)]
    assert kept == ["question 5?", "question 6?", "question 7?", "question 8?"]
    assert (ran.facts["rejected"], ran.facts["silent"]) == ({"reward below 5": 5}, 1)

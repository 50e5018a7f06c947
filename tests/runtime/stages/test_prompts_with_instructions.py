from typing import Any

import pytest

from compiler.artifacts import Message, PromptRow
from compiler.schema.data import Split
from runtime.rows import messages_id, read_rows
from runtime.splits import part_of, prompt_text

SPLIT = {"salt": "s", "shares": {"train": 0.7, "evaluation": 0.3}}
SINGLE = {
    "kind": "instruction_following",
    "prompts": "p",
    "instructions": {"keywords": 1.0, "startend": 1.0},
    "form": "single_turn",
}


def _prompt(text: str) -> PromptRow:
    messages = (Message(role="user", content=text),)
    return PromptRow(id=messages_id(messages), family="open_qa", messages=messages, origin="open_qa")


PROMPTS = [_prompt(f"Explain thing number {number} to a child.") for number in range(40)]


def _stage(run_stage: Any, count: int, **fields: Any) -> Any:
    given = {"generator": SINGLE, "count": count, "split": SPLIT, "parts": ("train",)}
    return run_stage("prompts", {**given, "seed": 1, **fields}, {"p": PROMPTS})


def test_the_stage_makes_as_many_as_asked_all_of_the_part(run_stage: Any) -> None:
    ran = _stage(run_stage, 90)
    rows = list(read_rows(ran.output, PromptRow))
    assert len({row.id for row in rows}) == 90
    split = Split.model_validate(SPLIT)
    assert {part_of(split, prompt_text(row.messages)) for row in rows} == {"train"}
    assert sum(ran.facts["rows_by_instruction"].values()) == 90
    stops = [stop["rows"] for stop in ran.facts["waterfall"]]
    assert stops[-1] == 90
    assert stops[0] == 90 + sum(ran.facts["rejected"].values())
    assert ran.bytes == _stage(run_stage, 90).bytes


def test_no_prompts_make_no_prompts_and_that_is_an_error(run_stage: Any) -> None:
    fields = {"generator": SINGLE, "count": 3, "split": SPLIT, "parts": ("train",), "seed": 1}
    with pytest.raises(ValueError, match="none of 0"):
        run_stage("prompts", fields, {"p": []})

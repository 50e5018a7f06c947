from typing import Any

import pytest

from compiler.artifacts import Message, PromptRow
from runtime.rows import read_rows

SPLIT = {"salt": "s", "shares": {"sft": 0.5, "preference": 0.3}}
ROWS = [
    PromptRow(id=str(number), family="f", messages=(Message(role="user", content=f"Question {number}?"),), origin="t")
    for number in range(400)
]


def _split(run_stage: Any, *parts: str) -> Any:
    return run_stage("split", {"rows": "prompts", "data": "data", "split": SPLIT, "parts": parts}, {"data": ROWS})


def test_parts_are_disjoint_have_their_shares_and_lose_nothing(run_stage: Any) -> None:
    sft, preference = (_split(run_stage, part) for part in ("sft", "preference"))
    ids = [{row.id for row in read_rows(ran.output, PromptRow)} for ran in (sft, preference)]
    assert not ids[0] & ids[1]
    assert 150 < len(ids[0]) < 250 and 80 < len(ids[1]) < 160
    assert sft.facts["rejected"]["of the part preference"] == len(ids[1])
    assert len(ids[0]) + sum(sft.facts["rejected"].values()) == 400
    both = _split(run_stage, "sft", "preference")
    assert {row.id for row in read_rows(both.output, PromptRow)} == ids[0] | ids[1]


def test_an_unknown_part_is_refused(run_stage: Any) -> None:
    with pytest.raises(ValueError, match="has no part train; it has preference, sft"):
        _split(run_stage, "train")

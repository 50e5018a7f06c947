from math import sqrt
from typing import Any

import pytest

from compiler.artifacts import DialogueRow, PromptRow
from runtime import tasks
from runtime.generators.tasks import task_row
from runtime.rows import messages_id, read_rows


def _prompts(count: int) -> list[PromptRow]:
    import random

    rng = random.Random(0)
    return [
        task_row(family, tasks.find(family).draw(rng).prompt, "tasks")
        for family in tasks.FAMILIES
        for _ in range(count // len(tasks.FAMILIES))
    ]


def _annotate(run_stage: Any, prompts: list[PromptRow], error_rate: float = 0.25, seed: int = 1) -> Any:
    return run_stage("annotate", {"prompts": "p", "error_rate": error_rate, "seed": seed}, {"p": prompts})


def _is_right(row: DialogueRow) -> bool:
    family = tasks.find(row.family)
    task = family.parse(row.messages[-2].content)
    assert task is not None
    return family.judge(task, row.messages[-1].content).passed


def test_every_prompt_is_answered_and_the_stated_share_wrongly(run_stage: Any) -> None:
    prompts = _prompts(1200)
    ran = _annotate(run_stage, prompts)
    rows = list(read_rows(ran.output, DialogueRow))
    assert [row.prompt_id for row in rows] == [prompt.id for prompt in prompts]
    assert [row.messages[:-1] for row in rows] == [prompt.messages for prompt in prompts]
    wrong = sum(not _is_right(row) for row in rows)
    assert abs(wrong / 1200 - 0.25) < 4 * sqrt(0.25 * 0.75 / 1200)
    assert ran.facts["wrong"] == wrong
    assert sum(ran.facts["wrong_by_family"].values()) == wrong
    assert ran.facts["rows"] == 1200


@pytest.mark.parametrize(("error_rate", "right"), [(0.0, True), (1.0, False)])
def test_annotators_may_always_be_right_or_always_be_wrong(run_stage: Any, error_rate: float, right: bool) -> None:
    rows = read_rows(_annotate(run_stage, _prompts(120), error_rate).output, DialogueRow)
    assert {_is_right(row) for row in rows} == {right}


def test_rows_say_that_people_wrote_them(run_stage: Any) -> None:
    for row in read_rows(_annotate(run_stage, _prompts(12)).output, DialogueRow):
        assert (row.origin, row.answer_ids, row.id) == ("annotator", None, messages_id(row.messages))


def test_an_answer_depends_on_seed_and_prompt_alone(run_stage: Any) -> None:
    prompts = _prompts(60)
    whole = {row.prompt_id: row for row in read_rows(_annotate(run_stage, prompts).output, DialogueRow)}
    part = list(read_rows(_annotate(run_stage, prompts[40:10:-1]).output, DialogueRow))
    assert part == [whole[row.prompt_id] for row in part]
    assert _annotate(run_stage, prompts).bytes == _annotate(run_stage, prompts).bytes
    assert _annotate(run_stage, prompts, seed=2).bytes != _annotate(run_stage, prompts).bytes

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from compiler.schema.data import Split
from compiler.schema.generators import Tasks
from runtime.generators import tasks as generator
from runtime.generators.tasks import ExhaustedError, draw_prompts
from runtime.splits import part_of, prompt_text

SPLIT = Split(salt="tiny", shares={"train": 0.5, "evaluation": 0.2, "rest": 0.3})


def _tasks(**families: float) -> Tasks:
    return Tasks.model_validate({"kind": "tasks", "families": families})


def _draw(spec: Tasks, count: int, **other: Any) -> Any:
    return draw_prompts(spec, **{"count": count, "split": SPLIT, "parts": ("train",), "seed": 1, **other})


def test_families_get_exact_shares_of_distinct_prompts() -> None:
    rows = _draw(_tasks(reverse=1, sort=2, repeat=1), 802)
    assert Counter(row.family for row in rows) == {"repeat": 201, "sort": 401, "reverse": 200}
    assert len({row.id for row in rows}) == len({row.messages for row in rows}) == 802
    assert {row.origin for row in rows} == {"tasks"}


def test_every_prompt_belongs_to_a_wanted_part() -> None:
    rows = _draw(_tasks(sort=1, list_things=1), 500, parts=("evaluation", "rest"))
    assert {part_of(SPLIT, prompt_text(row.messages)) for row in rows} == {"evaluation", "rest"}


def test_prompts_are_a_function_of_seed_and_families_in_any_order() -> None:
    rows = _draw(_tasks(reverse=1, sort=1), 100)
    assert _draw(_tasks(sort=1, reverse=1), 100) == rows
    assert _draw(_tasks(reverse=1, sort=1), 100, parts=("train",), seed=2) != rows


def test_the_first_prompts_never_change() -> None:
    rows = _draw(_tasks(reverse=1, sort=1, repeat=1), 3)
    assert [prompt_text(row.messages) for row in rows] == [
        ">>> sort 3 0 9 2 down",
        ">>> rev e j t c",
        "say fork and knife 5 times",
    ]


def test_families_are_shuffled_among_each_other() -> None:
    families = [row.family for row in _draw(_tasks(reverse=1, sort=1), 200)]
    assert 60 < sum(one != other for one, other in pairwise(families)) < 140


def test_too_many_prompts_are_refused_with_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "_PATIENCE", 2000)
    with pytest.raises(ExhaustedError, match=r"12000 distinct sort prompts .* train .* 5[0-9]{3} were found"):
        _draw(_tasks(sort=1), 12_000)

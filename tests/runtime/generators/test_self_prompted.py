from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from compiler.artifacts import PromptRow
from compiler.schema.data import Split
from compiler.schema.generators import SelfPrompted
from runtime.generators import self_prompted
from runtime.generators.self_prompted import Rejected, collect, read
from runtime.splits import part_of

SPLIT = Split(salt="tiny", shares={"train": 0.7, "evaluation": 0.3})
TRAINED = [
    text for n in range(10) for m in range(10) if m != n if part_of(SPLIT, text := f">>> sort {n} {m} up") == "train"
]
HELD_OUT = next(f">>> sort {n} 5 up" for n in range(5) if part_of(SPLIT, f">>> sort {n} 5 up") == "evaluation")
REVERSED = [text for a in "abcdefgh" if part_of(SPLIT, text := f">>> rev {a} z") == "train"]


def _spec(max_attempts: int = 100, **families: float) -> SelfPrompted:
    return SelfPrompted.model_validate(
        {
            "kind": "self_prompted",
            "policy": "any",
            "families": families,
            "temperature": 1.0,
            "max_attempts": max_attempts,
        }
    )


def _sampler(texts: list[str]) -> Callable[[int, int], list[str]]:
    return lambda count, first: texts[first : first + count]


def _collect(texts: list[str], count: int, batch: int = 4, **families: float) -> Any:
    spec = _spec(len(texts), **families)
    return collect(spec, count=count, split=SPLIT, parts=("train",), sample=_sampler(texts), batch=batch)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hello", "malformed"),
        ("", "malformed"),
        (TRAINED[0] + " ", "malformed"),
        ("say dog and red 3 times", "unwanted family"),
        (HELD_OUT, "held out"),
    ],
)
def test_what_is_no_wanted_prompt_is_rejected_with_its_reason(text: str, reason: str) -> None:
    assert read(text, families={"sort"}, split=SPLIT, parts=("train",)) == Rejected(reason)


def test_a_wanted_prompt_is_a_row_like_any_other() -> None:
    row = read(TRAINED[0], families={"sort"}, split=SPLIT, parts=("train",))
    assert isinstance(row, PromptRow)
    assert (row.family, row.origin, row.messages[0].content) == ("sort", "self_prompted", TRAINED[0])


def test_every_attempt_is_kept_or_counted_by_reason() -> None:
    texts = ["x", TRAINED[0], TRAINED[0], HELD_OUT, "say dog and red 3 times", TRAINED[1], REVERSED[0], REVERSED[1]]
    collected = _collect(texts, 4, sort=1, reverse=1)
    assert [row.messages[0].content for row in collected.rows] == [TRAINED[0], TRAINED[1], REVERSED[0], REVERSED[1]]
    assert collected.attempts == len(texts)
    assert collected.rejected == {"malformed": 1, "duplicate": 1, "held out": 1, "unwanted family": 1}


def test_a_family_with_its_share_gives_way_to_the_others() -> None:
    collected = _collect([*TRAINED[:5], *REVERSED[:2]], 4, sort=1, reverse=1)
    assert Counter(row.family for row in collected.rows) == {"sort": 2, "reverse": 2}
    assert collected.rejected == {self_prompted.FAMILY_FULL: 3}


@pytest.mark.parametrize("batch", [1, 3, 256])
def test_the_result_does_not_depend_on_batches_and_sampling_stops_when_all_is_there(batch: int) -> None:
    texts = ["x", *TRAINED[:4], *REVERSED[:3], "never looked at"]
    collected = _collect(texts, 6, batch, sort=1, reverse=1)
    assert collected == _collect(texts, 6, 2, sort=1, reverse=1)
    assert len(collected.rows) == 6
    assert collected.attempts == 8


def test_attempts_are_limited() -> None:
    asked: list[int] = []

    def sample(count: int, first: int) -> list[str]:
        asked.extend(range(first, first + count))
        return ["x"] * count

    collected = collect(_spec(10, sort=1), count=3, split=SPLIT, parts=("train",), sample=sample, batch=4)
    assert (collected.rows, collected.attempts, asked) == ((), 10, list(range(10)))

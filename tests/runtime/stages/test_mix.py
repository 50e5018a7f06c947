from collections import Counter
from typing import Any

import pytest

from compiler.artifacts import DialogueRow
from runtime.rows import read_rows


def _mix(run_stage: Any, weights: dict[str, float], count: int, inputs: Any, seed: int = 1, **fingerprints: str) -> Any:
    return run_stage("mix", {"rows": "dialogues", "data": weights, "count": count, "seed": seed}, inputs, fingerprints)


@pytest.fixture
def sources(dialogue: Any) -> dict[str, list[DialogueRow]]:
    return {
        "people": [dialogue(f"a{number}") for number in range(100)],
        "models": [dialogue(f"b{number}", origin="model") for number in range(100)],
    }


def test_each_source_gives_its_share_without_repetition(run_stage: Any, sources: Any) -> None:
    ran = _mix(run_stage, {"people": 3.0, "models": 1.0}, 100, sources)
    rows = list(read_rows(ran.output, DialogueRow))
    assert len({row.id for row in rows}) == 100
    assert Counter(row.origin for row in rows) == {"annotator": 75, "model": 25}
    assert ran.facts["rows_by_source"] == {"people": 75, "models": 25}
    assert ran.facts["rows_by_origin"] == {"annotator": 75, "model": 25}
    origins = [row.origin for row in rows]
    assert origins != sorted(origins)


def test_rows_are_what_they_were(run_stage: Any, sources: Any) -> None:
    rows = read_rows(_mix(run_stage, {"people": 1.0}, 50, sources).output, DialogueRow)
    assert {row.id for row in rows} <= {row.id for row in sources["people"]}


def test_labels_and_their_order_do_not_shape_the_result(run_stage: Any, sources: Any) -> None:
    before = _mix(run_stage, {"people": 1.0, "models": 1.0}, 80, sources, people="1", models="2")
    renamed = {"zebra": sources["people"], "ape": sources["models"]}
    after = _mix(run_stage, {"ape": 1.0, "zebra": 1.0}, 80, renamed, zebra="1", ape="2")
    assert after.bytes == before.bytes
    assert _mix(run_stage, {"people": 1.0, "models": 1.0}, 80, sources, 2, people="1", models="2").bytes != before.bytes


def test_a_small_source_is_an_error_that_names_it(run_stage: Any, sources: Any) -> None:
    with pytest.raises(ValueError, match=r"models has 100 .* not 120") as error:
        _mix(run_stage, {"people": 0.4, "models": 0.6}, 200, sources)
    assert "people" not in str(error.value)


def test_a_dialogue_that_two_sources_have_is_taken_once(run_stage: Any, sources: Any) -> None:
    twice = {"one": sources["people"], "other": sources["people"]}
    rows = list(read_rows(_mix(run_stage, {"one": 1.0, "other": 1.0}, 100, twice).output, DialogueRow))
    assert len({row.id for row in rows}) == 100


def test_two_labels_of_one_artifact_are_one_source(run_stage: Any, sources: Any) -> None:
    inputs = {**sources, "same": sources["people"]}
    fingerprints = {"people": "1", "same": "1", "models": "2"}
    ran = _mix(run_stage, {"people": 1.0, "same": 1.0, "models": 2.0}, 80, inputs, **fingerprints)
    rows = read_rows(ran.output, DialogueRow)
    assert Counter(row.origin for row in rows) == {"annotator": 40, "model": 40}

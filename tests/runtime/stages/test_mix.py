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


def test_pairs_of_two_rounds_are_told_apart_by_what_they_say(run_stage: Any) -> None:
    from compiler.artifacts import Message, PreferenceRow

    def pair(name: str, chosen: str) -> PreferenceRow:
        return PreferenceRow(
            id=name,
            prompt_id="p",
            family="sort",
            messages=(Message(role="user", content="?"),),
            chosen=chosen,
            rejected="no",
            chosen_ids=(1,),
            rejected_ids=(2,),
            chosen_reward=1.0,
            rejected_reward=0.0,
        )

    rounds = {"one": [pair("p-0-1", "yes")], "two": [pair("p-0-1", "yes!")], "three": [pair("p-0-1", "yes")]}
    fields = {"rows": "preferences", "data": {"one": 1.0, "two": 1.0}, "count": 2, "seed": 1}
    found = list(read_rows(run_stage("mix", fields, rounds).output, PreferenceRow))
    assert sorted(row.chosen for row in found) == ["yes", "yes!"]
    with pytest.raises(ValueError, match="0 distinct preferences"):
        run_stage("mix", {**fields, "data": {"one": 1.0, "three": 1.0}}, rounds)

"""`rung trace` over a store of a few artifacts: back to the topic and whoever was asked, forward to who learnt."""

import json
from pathlib import Path
from typing import Any

import pytest

from compiler.artifacts import ArtifactRecord, InputRecord
from compiler.cli import main

HOSTILE = "fine\x1b[2J \u202e\nand more"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """topics -> prompts -> responses -> scores, filter, pairs -> mix -> sft, prefer; asked: a teacher and a reward."""
    made: dict[str, tuple[str, str]] = {}

    def seal(label: str, kind: str, inputs: list[str], rows: list[dict[str, Any]] | None = None, **stage: Any) -> None:
        fingerprint = f"{len(made):016x}"
        folder = tmp_path / "store" / kind / fingerprint
        folder.mkdir(parents=True)
        if rows is not None:
            (folder / "rows.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        record = ArtifactRecord(
            kind=kind,
            fingerprint=fingerprint,
            label=label,
            stage=stage,
            inputs={name: InputRecord(stage=name, kind=made[name][0], fingerprint=made[name][1]) for name in inputs},
            files={"rows.jsonl": "x"} if rows is not None else {"weights": "x"},
            bytes=0,
        )
        (folder / "artifact.json").write_text(record.model_dump_json())
        made[label] = (kind, fingerprint)

    def said(name: str, number: int) -> dict[str, Any]:
        text = HOSTILE if number == 1 else f"answer {number}"
        by = made["teacher" if number == 0 else "served"][1]
        asked = [{"role": "user", "content": f"about {name}"}]
        return {"id": f"{name}-{number}", "prompt_id": name, "messages": asked, "response": text, "by": by}

    seal("teacher", "sft", [])
    topics = [{"id": f"topic{n}", "topic": f"thing {n}", "origin": ("mined", "generated")[n % 2]} for n in range(3)]
    seal("topics", "topics", ["teacher"], topics)
    seal("served", "endpoint", [], model="some/model")
    seal("reward", "reward_model", [])
    prompts = [{"id": f"prompt{n}", "messages": [{"role": "user", "content": f"about thing {n}"}], "origin": "open_qa",
                "made_from": [f"topic{n}"]} for n in range(3)]  # fmt: skip
    seal("prompts", "prompts", ["topics", "teacher"], prompts, generator={"kind": "open_qa"})
    responses = [said(f"prompt{n}", sample) for n in range(3) for sample in range(2)]
    seal("answers", "generate", ["prompts", "teacher", "served"], responses)
    scores = [
        {"response_id": row["id"], "score": float(place), "attributes": {}} for place, row in enumerate(responses)
    ]
    seal("scores", "judge", ["answers", "reward"], scores, judge={"kind": "reward_model"})
    dialogues = [
        {"id": f"dialogue{n}", "prompt_id": f"prompt{n}", "made_from": [f"prompt{n}-1"], "messages": []}
        for n in range(3)
    ]
    seal("good", "filter", ["answers", "scores"], dialogues)
    pairs = [
        {"id": f"prompt{n}-1-0", "prompt_id": f"prompt{n}", "made_from": [f"prompt{n}-1", f"prompt{n}-0"]}
        for n in range(3)
    ]
    seal("pairs", "pair", ["answers", "scores"], pairs)
    seal("mixed", "mix", ["good"], dialogues[:2])
    seal("student", "sft", ["mixed", "teacher"])
    seal("tuned", "prefer", ["pairs", "student"])
    return tmp_path


def traced(store: Path, row: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["trace", row, "--store", str(store), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["made"]) == 1
    found: dict[str, Any] = told["made"][0]
    return found


def labels(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {one["stage"]["label"]: labels(one["used_by"]) for one in found}


def test_a_training_row_is_followed_back_to_its_topic_models_and_scores(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dialogue = traced(store, "dialogue1", capsys)
    assert dialogue["stage"]["label"] == "good"
    (score,) = dialogue["scores"]
    assert (score["row"]["score"], score["stage"]["label"]) == (3.0, "scores")
    assert [model["label"] for model in score["models"]] == ["reward"]
    (response,) = dialogue["made_from"]
    assert (response["id"], [model["label"] for model in response["models"]]) == ("prompt1-1", ["served"])
    (prompt,) = response["made_from"]
    assert (prompt["id"], [model["label"] for model in prompt["models"]]) == ("prompt1", ["teacher"])
    (topic,) = prompt["made_from"]
    assert (topic["row"]["topic"], topic["made_from"]) == ("thing 1", [])
    assert [model["label"] for model in topic["models"]] == ["teacher"]
    assert traced(store, "topic2", capsys)["models"] == []  # mined, not named by a model


def test_a_row_is_followed_forward_to_what_learnt_from_it(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert labels(traced(store, "dialogue1", capsys)["used_by"]) == {"mixed": {"student": {}}}
    assert labels(traced(store, "dialogue2", capsys)["used_by"]) == {}
    learnt = {"scores": {}, "good": {"mixed": {"student": {}}}, "pairs": {"tuned": {}}}
    assert labels(traced(store, "topic0", capsys)["used_by"]) == {"prompts": {"answers": learnt}}


def test_a_pair_has_two_responses_and_their_scores(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = traced(store, "prompt2-1-0", capsys)
    assert {one["id"] for one in pair["made_from"]} == {"prompt2-1", "prompt2-0"}
    assert {one["id"]: one["row"]["score"] for one in pair["scores"]} == {"prompt2-0": 4.0, "prompt2-1": 5.0}
    assert labels(pair["used_by"]) == {"tuned": {}}


def test_a_beginning_of_an_id_is_enough_where_it_is_one_rows(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "dialogue", "--store", str(store)]) == 2
    assert "3 rows' ids begin with 'dialogue': dialogue0, dialogue1, dialogue2" in capsys.readouterr().err
    assert traced(store, "prompt1", capsys)["id"] == "prompt1"
    assert main(["trace", "nothing", "--store", str(store)]) == 2
    assert "no row's id begins with 'nothing'" in capsys.readouterr().err


def test_a_terminal_is_shown_words_and_no_signs_that_move_it(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "dialogue1", "--store", str(store)]) == 0
    shown = capsys.readouterr().out
    assert "\x1b[2J" not in shown and "\u202e" not in shown
    for words in ("thing 1", "some/model", "score 3", "judge reward_model", "prompts open_qa", "student (sft"):
        assert words in shown

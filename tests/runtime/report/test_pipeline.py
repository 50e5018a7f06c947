"""The waterfall over a pipeline small enough to be counted by hand."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compiler.artifacts import ArtifactRecord, InputRecord
from runtime.report.lineage import trace
from runtime.report.pipeline import pipeline

Rows = Sequence[Mapping[str, Any]]


class Store:
    """Artifacts as the worker seals them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: dict[str, InputRecord] = {}

    def seal(
        self, name: str, kind: str, lines: Rows = (), facts: Mapping[str, Any] | None = None, **stage: Any
    ) -> Path:
        folder = self.folder / kind / name
        folder.mkdir(parents=True)
        (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        inputs = {field: self.made[value] for field, value in stage.items() if str(value) in self.made}
        inputs |= {f"scores.{one}": self.made[one] for one in stage.get("scores", ())}
        record = ArtifactRecord(
            kind=kind,
            fingerprint=name,
            label=name,
            stage={"kind": kind, **stage},
            inputs=inputs,
            files={"rows.jsonl": "0"},
            bytes=1,
            facts=dict(facts or {}),
        )
        (folder / "artifact.json").write_text(record.model_dump_json())
        self.made[name] = InputRecord(stage=name, kind=kind, fingerprint=name)
        return folder


def steps(found: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    return {lane["name"]: {step["name"]: step["rows"] for step in lane["steps"]} for lane in found}


def prompt(name: str, *made_from: str) -> dict[str, Any]:
    return {"id": name, "made_from": made_from}


def response(name: str, finished: bool = True) -> dict[str, Any]:
    return {"id": name, "prompt_id": name[:1], "finished": finished}


def row(name: str, *made_from: str) -> dict[str, Any]:
    return {"id": name, "prompt_id": name[:1], "made_from": made_from}


def test_rows_are_followed_from_the_topic_to_the_training_set(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fall = [("asked for", 9), ("well written", 7), ("of a wanted part", 6), ("distinct", 5)]
    store.seal(
        "written", "prompts", [prompt(name) for name in "abcde"],
        {"waterfall": [{"name": name, "rows": count} for name, count in fall]}, generator={"model": "m"},
    )  # fmt: skip
    store.seal("clean", "dedup", [prompt(name) for name in "abcd"], rows="prompts", data="written")
    store.seal("instructed", "prompts", [prompt("A", "a"), prompt("B", "b"), prompt("C", "c")], prompts="clean")
    answers = [
        response(f"{name}-{number}", finished=name != "C" or number == 0) for name in "ABC" for number in range(2)
    ]
    # Another round with equal ids is another round.
    store.seal("answers", "generate", answers, prompts="instructed")
    store.seal("again", "generate", answers[:2], prompts="instructed")
    scores = [{"response_id": one["id"], "score": None if one["id"] == "B-1" else 1.0} for one in answers]
    store.seal("scores", "judge", scores, responses="answers")
    store.seal("other", "judge", [{"response_id": "A-0", "score": 2.0}], responses="again")
    kept = [row("A-kept", "A-0"), row("B-kept", "B-0"), row("C-kept", "C-0")]
    store.seal("kept", "filter", kept, responses="answers", scores=["scores"])
    store.seal("distinct", "dedup", kept[:2], rows="dialogues", data="kept")
    store.seal("sft", "sft", data="distinct")
    store.seal("pairs", "pair", [row("A-0-1", "A-0", "A-1")], responses="again", scores=["other"])
    facts = {
        "waterfall": [
            {"name": "prompts", "rows": 4},
            {"name": "answered in turn 1", "rows": 3},
            {"name": "distinct", "rows": 2},
        ],
        "rejected": {"cut off": 1},
    }
    store.seal("talks", "dialogues", [row("A-talk"), row("D-talk")], facts, prompts="instructed")
    store.seal("more", "mix", [row("A-talk")], data="talks")
    store.seal("longer", "sft", data="more", init="sft")
    store.seal("dpo", "prefer", data="pairs", init="longer")
    found = steps(pipeline(trace({"dpo": store.folder / "prefer" / "dpo"})))
    assert found == {
        # 6 + 2 responses and 4 dialogues; C-1 is cut off, and one dialogue; B-1 has no score and A-1 of the other round
        # neither; 3 filtered, 2 of a pair, 2 dialogues; C is a duplicate; D is not drawn by the mix.
        "answers": {"generated": 12, "parsed": 10, "judged": 8, "filtered": 7, "deduplicated": 6, "used": 5},
        # `e` is a duplicate; `c` was answered, but that answer was not learnt from.
        "prompts": {"generated": 9, "parsed": 7, "filtered": 6, "deduplicated": 4, "used": 2},
    }


def test_a_pipeline_without_models_rows_has_no_waterfall(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.seal("people", "adopt", [row("a-1")])
    folder = store.seal("sft", "sft", data="people")
    assert pipeline(trace({"sft": folder})) == []

"""A whole recipe on served models: checked, refused where nobody serves, run, and its rows say who answered."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from served import Say, Served

from compiler.errors import SpecError
from compiler.pipeline import compile_plan

RECIPE = """
rung: 1
name: served
splits: {all: {salt: served, shares: {training: 0.5, evaluation: 0.5}}}
generators: {words: {kind: tasks, families: {reverse: 1}}}
judges: {truth: {kind: ground_truth}}
pipeline:
  prompts: {kind: prompts, generator: words, count: 40, split: all, parts: [training], seed: 1}
  held_out: {kind: prompts, generator: words, count: 10, split: all, parts: [evaluation], seed: 1}
  one: {kind: endpoint, model: some/one, revision: "1", seq_length: 4k, active_parameters: 1B}
  other: {kind: endpoint, model: some/other, revision: "1", seq_length: 4k, active_parameters: 1B}
  answers:
    kind: generate
    policy: [one, other]
    prompts: prompts
    instruction: decline
    samples: 2
    sampling: {temperature: 1.0, top_p: 1.0, max_new_tokens: 20}
    seed: 1
  scores: {kind: judge, judge: truth, responses: answers}
  exam: {kind: evaluate, policy: one, prompts: held_out, max_new_tokens: 20, seed: 1}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "served.yaml"
    file.write_text(RECIPE)
    return file


def test_an_endpoint_that_nobody_serves_is_refused_before_anything_runs(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNG_SERVERS", '{"some/one": "http://127.0.0.1:1/v1"}')
    compile_plan(recipe, [], cluster="laptop", store=tmp_path)
    with pytest.raises(SpecError) as refused:
        compile_plan(recipe, [], cluster="laptop", store=tmp_path, runnable=True)
    (problem,) = refused.value.problems
    assert (problem.path, problem.code) == ("pipeline.other.model", "unknown-name")
    monkeypatch.setenv("RUNG_SERVERS", "http://127.0.0.1:1/v1")
    with pytest.raises(SpecError, match="RUNG_SERVERS"):
        compile_plan(recipe, [], cluster="laptop", store=tmp_path, runnable=True)


def test_two_served_models_answer_a_recipe(
    recipe: Path, tmp_path: Path, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right answers from one model, wrong ones from the other: the scores tell whose row is whose."""

    def behave(question: str, before: int) -> Say:
        said = served.bodies[-1]
        if said["model"] == "some/one":
            return Say(" ".join(reversed(question.split()[2:])))
        return Say("too long", status=400) if said["seed"] % 5 == 0 else Say("no idea")

    served.behave = behave
    monkeypatch.setenv("RUNG_SERVERS", json.dumps({"some/one": served.url, "some/other": served.url}))
    command = [sys.executable, "-P", "-m", "compiler", "run", str(recipe), "--store", str(tmp_path / "store"), "--json"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    made = {path.parent.parent.name: path.parent for path in tmp_path.glob("store/store/*/*/artifact.json")}
    records = {kind: json.loads((folder / "artifact.json").read_text()) for kind, folder in made.items()}
    rows = [json.loads(line) for line in (made["generate"] / "rows.jsonl").read_text().splitlines()]
    facts = records["generate"]["facts"]
    refused = facts["rejected"].get("400: too long", 0)
    assert facts["waterfall"] == [{"name": "asked", "rows": 80}, {"name": "generated", "rows": 80 - refused}]
    assert refused and len(rows) == 80 - refused
    assert all(row["response_ids"] is None and len(row["messages"]) == 1 for row in rows)
    asked = [body for body in served.bodies if len(body["messages"]) == 2]
    assert all(body["messages"][0]["role"] == "system" for body in asked)
    scores = [json.loads(line)["score"] for line in (made["judge"] / "rows.jsonl").read_text().splitlines()]
    by_score = Counter((row["by"], score) for row, score in zip(rows, scores, strict=True))
    assert len(by_score) == 2 and {score for _, score in by_score} == {0.0, 1.0}
    assert records["evaluate"]["facts"]["decodings"]["greedy"]["accuracy"] == 1.0

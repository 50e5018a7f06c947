"""Preference training: what it learns, and the reference's log-probabilities, computed once and found again."""

import json
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from compiler.artifacts import Message, PreferenceRow
from compiler.manifest import Placement
from runtime.policy import TOKENIZER
from runtime.tokenizer import ChatTokenizer

FIELDS = {
    "init": "policy",
    "reference": "policy",
    "data": "pairs",
    "loss": {"kind": "dpo", "beta": 0.5, "sft_weight": 0.0, "sft_average": True},
    "epochs": 4,
    "global_batch_size": 8,
    "learning_rate": {"shape": "constant", "start": 2e-3, "end": 2e-3, "warmup_steps": 0},
    "optimizer": {"beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "weight_decay": 0.0, "clip_grad": 1.0},
    "precision": {"dtype": "fp32"},
    "seed": 1,
}


@pytest.fixture(scope="module")
def pairs(policy: Callable[[int], Path]) -> list[PreferenceRow]:
    """Answers of different lengths; the chosen ones say yes."""
    tokenizer = ChatTokenizer.load(policy(1) / TOKENIZER)

    def row(number: int) -> PreferenceRow:
        yes, no = " ".join(["yes"] * (1 + number % 3)), " ".join(["no"] * (1 + number % 4))
        return PreferenceRow(
            id=str(number),
            prompt_id=str(number),
            family="sort",
            messages=(Message(role="user", content="say yes" + " please" * (number % 5)),),
            chosen=yes,
            rejected=no,
            chosen_ids=tuple(tokenizer.encode_answer(yes)),
            rejected_ids=tuple(tokenizer.encode_answer(no)),
            chosen_reward=1.0,
            rejected_reward=0.0,
        )

    return [row(number) for number in range(32)]


def found(run: Path) -> list[bool]:
    """Of each time that a stage wanted the reference's log-probabilities: whether they were there."""
    events = (json.loads(line) for line in (run.parent / "journal.jsonl").read_text().splitlines())
    return [event["found"] for event in events if event["event"] == "reference_logprobs"]


def test_the_policy_comes_to_prefer_what_was_chosen(run_stage, policy, pairs) -> None:
    ran = run_stage("prefer", FIELDS, {"policy": policy(1), "pairs": pairs})
    curve = [json.loads(line) for line in (ran.output / "curve.jsonl").read_text().splitlines()]
    assert len(curve) == 16
    assert curve[0]["loss"] == pytest.approx(np.log(2), abs=1e-5)
    assert curve[0]["implicit_gap"] == pytest.approx(0.0, abs=1e-5)
    assert curve[-1]["accuracy"] == 1.0
    assert curve[-1]["loss"] < 0.5


def test_pairs_of_models_answers_are_told_from_adopted_ones(run_stage, policy, pairs) -> None:
    mixed = [*pairs[:5], *(row.model_copy(update={"made_from": ("one", "other")}) for row in pairs[5:8])]
    facts = run_stage("prefer", {**FIELDS, "epochs": 1}, {"policy": policy(1), "pairs": mixed}).facts
    assert (facts["rows"], facts["rows_synthetic"], facts["rows_human"]) == (8, 3, 5)


def test_the_reference_is_asked_once_for_all_points_of_a_sweep(run_stage, policy, pairs) -> None:
    inputs = {"policy": policy(1), "pairs": pairs}
    other_beta = {**FIELDS, "loss": {**FIELDS["loss"], "beta": 0.1}}
    first, second = (run_stage("prefer", fields, inputs) for fields in (FIELDS, other_beta))
    again = run_stage("prefer", FIELDS, inputs)
    assert [found(ran.output) for ran in (first, second, again)] == [[False], [True], [True]]
    assert first.bytes["curve.jsonl"] == again.bytes["curve.jsonl"]
    assert first.bytes["curve.jsonl"] != second.bytes["curve.jsonl"]


@pytest.mark.parametrize("change", ["weights", "pairs", "precision"])
def test_a_changed_reference_is_not_reused(run_stage, policy, pairs, change: str) -> None:
    fields = {**FIELDS, "reference": "reference", "epochs": 1}
    run_stage("prefer", fields, {"policy": policy(1), "reference": policy(1), "pairs": pairs})
    if change == "precision":
        fields = {**fields, "precision": {"dtype": "bf16"}}
    reference = policy(2 if change == "weights" else 1)
    rows = [*pairs[1:], pairs[0]] if change == "pairs" else pairs
    ran = run_stage("prefer", fields, {"policy": policy(1), "reference": reference, "pairs": rows})
    assert found(ran.output) == [False]
    curve = [json.loads(line) for line in (ran.output / "curve.jsonl").read_text().splitlines()]
    # Where policy and reference differ, so do their log-probabilities, from the first step on.
    assert (abs(curve[0]["chosen_shift"]) > 1e-2) == (change == "weights")


def test_pairs_held_out_are_looked_at_and_told_to_tensorboard(run_stage, policy, pairs, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    fields = {**FIELDS, "evaluation": {"data": "others", "every_steps": 6, "rows": 5}}
    inputs = {"policy": policy(1), "pairs": pairs[:24], "others": pairs[24:]}
    ran = run_stage("prefer", fields, inputs, placement=Placement(track=("tensorboard",)))
    curve = [json.loads(line) for line in (ran.output / "curve.jsonl").read_text().splitlines()]
    looked = {line["step"]: line["held_out_accuracy"] for line in curve if "held_out_accuracy" in line}
    assert list(looked) == [5, 11]
    assert looked[11] == 1.0
    plain = run_stage("prefer", FIELDS, inputs)
    assert [line["loss"] for line in curve] == [
        json.loads(line)["loss"] for line in (plain.output / "curve.jsonl").read_text().splitlines()
    ]
    told = scalars(tmp_path / "tensorboard" / "stage")
    assert [value for step, value in told["loss"]] == pytest.approx([line["loss"] for line in curve], rel=1e-5)
    assert [step for step, _ in told["held_out_loss"]] == [5, 11]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard would show, read from the event files: records of a length, a checksum, an event, a checksum."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found: dict[str, list[tuple[int, float]]] = {}
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = event_pb2.Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def losses(ran: Any) -> list[float]:
    return [json.loads(line)["loss"] for line in (ran.output / "curve.jsonl").read_text().splitlines()]


def test_the_clients_of_services_keep_what_the_curve_tells(
    run_stage, policy, pairs, tmp_path: Path, monkeypatch
) -> None:
    pytest.importorskip("wandb")
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    placement = Placement(track=("wandb", "mlflow"))
    ran = run_stage("prefer", FIELDS, {"policy": policy(1), "pairs": pairs}, placement=placement)
    (file,) = (tmp_path / "wandb").rglob("*.wandb")
    assert json.dumps(losses(ran)[-1]).encode() in file.read_bytes()
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.info.status == "FINISHED"
    kept = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert [point.value for point in kept] == pytest.approx(losses(ran))


def test_a_tracker_that_fails_does_not_end_the_training(run_stage, policy, pairs, monkeypatch, caplog) -> None:
    mlflow = ModuleType("mlflow")
    asked: list[int] = []

    def away(metrics: Mapping[str, float], step: int) -> None:
        asked.append(step)
        if step == 3:
            raise ConnectionError("the server is away")

    mlflow.start_run, mlflow.end_run, mlflow.log_metrics = lambda **_: None, lambda: None, away  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setattr("runtime.trackers.find_spec", lambda name: True)
    inputs = {"policy": policy(1), "pairs": pairs}
    ran = run_stage("prefer", FIELDS, inputs, placement=Placement(track=("mlflow",)))
    assert losses(ran) == losses(run_stage("prefer", FIELDS, inputs))
    assert asked == [0, 1, 2, 3]
    assert "mlflow failed and is told no more" in caplog.text


def test_a_tracker_that_is_not_installed_is_named_before_the_first_step(run_stage, policy, pairs, monkeypatch) -> None:
    monkeypatch.setattr("runtime.trackers.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install wandb"):
        run_stage("prefer", FIELDS, {"policy": policy(1), "pairs": pairs}, placement=Placement(track=("wandb",)))

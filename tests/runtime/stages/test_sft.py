"""Supervised fine-tuning: what is learnt, and that how it is divided makes no difference."""

import json
from pathlib import Path

import pytest

from compiler.artifacts import DialogueRow, Message
from compiler.manifest import Placement

FIELDS = {
    "init": "policy",
    "data": "dialogues",
    "epochs": 6,
    "global_batch_size": 8,
    "learning_rate": {"shape": "constant", "start": 3e-3, "end": 3e-3, "warmup_steps": 0},
    "optimizer": {"beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "weight_decay": 0.0, "clip_grad": 1.0},
    "precision": {"dtype": "fp32"},
    "seed": 1,
}


def dialogues(count: int) -> list[DialogueRow]:
    """Some with one turn and some with two, of different lengths."""

    def row(number: int) -> DialogueRow:
        turns = [("user", "say yes" + " please" * (number % 4)), ("assistant", "yes" * (1 + number % 3))]
        turns += [("user", "say no"), ("assistant", "no no")] if number % 2 else []
        messages = tuple(Message.model_validate({"role": role, "content": text}) for role, text in turns)
        return DialogueRow(id=str(number), prompt_id=str(number), family="sort", messages=messages, origin="annotator")

    return [row(number) for number in range(count)]


def losses(output: Path, name: str = "loss") -> list[float]:
    lines = (json.loads(line) for line in (output / "curve.jsonl").read_text().splitlines())
    return [line[name] for line in lines if name in line]


def test_packed_rows_are_learnt_alike_however_they_are_divided(run_stage, policy) -> None:
    inputs = {"policy": policy(1), "dialogues": dialogues(16)}
    whole = run_stage("sft", FIELDS, inputs)
    found = losses(whole.output)
    assert len(found) == 12
    assert found[-1] < found[0] - 2
    for size in (1, 3):
        ran = run_stage("sft", FIELDS, inputs, placement=Placement(micro_batch_size=size))
        assert losses(ran.output) == pytest.approx(found, abs=2e-4)
    assert whole.facts["rows"] == 16


def test_a_rate_that_continues_begins_where_the_stage_before_ended(run_stage, policy) -> None:
    rate = {"shape": "linear", "start": 2e-3, "end": 5e-4, "warmup_steps": 0}
    first = run_stage("sft", {**FIELDS, "learning_rate": rate}, {"policy": policy(1), "dialogues": dialogues(16)})
    rate = {"shape": "cosine", "continues": "init", "end": 1e-5, "warmup_steps": 0}
    second = run_stage("sft", {**FIELDS, "learning_rate": rate}, {"policy": first.output, "dialogues": dialogues(16)})
    rates = losses(second.output, "learning_rate")
    assert (rates[0], rates[-1]) == (pytest.approx(5e-4), pytest.approx(1e-5))


def test_what_bf16_cannot_tell_of_a_policy_is_handed_on(run_stage, policy, weights_of) -> None:
    """Steps far too small for bf16 leave the policy where it was: as float32 tells it, not rounded."""
    rate = {"shape": "constant", "start": 1e-9, "end": 1e-9, "warmup_steps": 0}
    fields = {**FIELDS, "epochs": 1, "learning_rate": rate, "precision": {"dtype": "bf16"}}
    ran = run_stage("sft", fields, {"policy": policy(1), "dialogues": dialogues(16)})
    for name, weight in weights_of(policy(1)).items():
        if weight.dim() > 1:
            change = float((weights_of(ran.output)[name] - weight).abs().max())
            assert 0 < change < 1e-8
            assert float((weight.bfloat16().float() - weight).abs().max()) > 1e-5


def test_dialogues_held_out_are_looked_at(run_stage, policy) -> None:
    fields = {**FIELDS, "evaluation": {"data": "others", "every_steps": 5, "rows": 4}}
    rows = dialogues(24)
    ran = run_stage("sft", fields, {"policy": policy(1), "dialogues": rows[:16], "others": rows[16:]})
    found = losses(ran.output, "held_out_loss")
    assert len(found) == 3  # after 5, 10 and 12 steps
    assert found[0] > found[1] > found[2]

"""What a pretrain record says of its steps and of its learning rate."""

import json

import pytest
from pydantic import ValidationError

from compiler.stages.pretrain import Pretrain


def pretrain(*phases: dict[str, object]) -> Pretrain:
    record = {
        "kind": "pretrain",
        "init": "base",
        "tokenizer": "tokenizer",
        "seq_length": 10,
        "phases": [{"name": f"phase{number}", "blend": {"web": 1.0}, **phase} for number, phase in enumerate(phases)],
        "optimizer": {"beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "weight_decay": 0.1, "clip_grad": 1.0},
        "precision": {"dtype": "fp32"},
        "seed": 1,
    }
    return Pretrain.model_validate_json(json.dumps(record))


def ramp(*steps: int) -> list[dict[str, int]]:
    return [{"global_batch_size": 1, "tokens": 10 * count} for count in steps]


def cosine(start: float, end: float) -> dict[str, object]:
    return {"shape": "cosine", "start": start, "end": end, "warmup_steps": 0}


def test_a_phase_without_a_rate_goes_on_along_the_schedule_before_it() -> None:
    stage = pretrain(
        {"batch_ramp": ramp(500, 211), "learning_rate": cosine(1.0, 0.01)},
        {"batch_ramp": ramp(289)},
    )
    (schedule,) = stage.schedules()
    assert (schedule.first_step, schedule.steps) == (0, 1000)
    # A cosine from a rate to its hundredth passes its fifth at 71.1 % (2407.07263's change of blend).
    assert schedule.rate.at(711, schedule.steps) == pytest.approx(0.2, rel=0.01)


def test_a_phase_with_a_rate_begins_a_schedule_of_its_own() -> None:
    stage = pretrain(
        {"batch_ramp": ramp(30), "learning_rate": cosine(1.0, 0.1)},
        {"batch_ramp": ramp(20)},
        {"batch_ramp": ramp(7), "learning_rate": cosine(0.1, 0.01)},
    )
    assert [(one.first_step, one.steps) for one in stage.schedules()] == [(0, 50), (50, 7)]


def test_the_first_phase_must_have_a_rate() -> None:
    with pytest.raises(ValidationError, match="the first phase must have a `learning_rate`"):
        pretrain({"batch_ramp": ramp(30)}, {"batch_ramp": ramp(20), "learning_rate": cosine(1.0, 0.1)})

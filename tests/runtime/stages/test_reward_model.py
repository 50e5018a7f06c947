import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "formats"))

from checkpoints import SHAPES

from compiler.artifacts import Message, RatingRow, ResponseRow, ScoreRow
from compiler.schema.model import Layout, Precision
from runtime.engine.batch import Batch
from runtime.engine.model import build
from runtime.engine.parallel import start
from runtime.losses.regression import UNRATED
from runtime.policy import write_policy
from runtime.rewards import pair_accuracy
from runtime.stages.reward_model import _loss
from runtime.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("policy")
    tokenizer, policy = home / "tokenizer", home / "policy"
    tokenizer.mkdir()
    policy.mkdir()
    train_tokenizer(["good bad question about"], 300, "compact", tokenizer)
    with start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1):
        model = build(SHAPES["llama"].model_copy(update={"vocab_size": 304}), Layout(), Precision(dtype="fp32"), seed=3)
        write_policy(model, policy, tokenizer=tokenizer, main=True)
    return policy


def rating(prompt: int, answer: str, attributes: Mapping[str, float]) -> RatingRow:
    return RatingRow(
        id=f"{prompt}-{answer}",
        prompt_id=str(prompt),
        family="talk",
        messages=(Message(role="user", content=f"question {prompt}"),),
        response=f"{answer} {prompt}",
        attributes=dict(attributes),
    )


def trained(run_stage: Any, policy: Path, weight: float = 1.0, **inputs: Any) -> Any:
    fields = {
        "init": "policy",
        **{name: name for name in inputs},
        "loss": {"kind": "regression", "bradley_terry_weight": weight},
        "held_out": 0.3,
        "epochs": 5,
        "global_batch_size": 8,
        "learning_rate": {"shape": "constant", "start": 3e-3, "end": 3e-3, "warmup_steps": 0},
        "optimizer": {"beta1": 0.9, "beta2": 0.98, "epsilon": 1e-8, "weight_decay": 0.0, "clip_grad": 1.0},
        "precision": {"dtype": "fp32"},
        "seed": 1,
    }
    return run_stage("reward_model", fields, {"policy": policy, **inputs})


def test_it_learns_from_what_people_rated_and_leaves_the_rest_alone(run_stage: Any, policy: Path) -> None:
    rows = [
        rating(prompt, answer, {"correctness": value})
        for prompt in range(32)
        for answer, value in (("good", 4.0), ("bad", 0.0))
    ]
    ran = trained(run_stage, policy, ratings=rows)
    (accuracy, pairs) = pair_accuracy({"correctness": 1.0}, ran.output)["talk"]
    assert pairs > 4
    assert accuracy == 1.0
    assert ran.facts["held_out_mse"] < 1.0  # of correctness alone; 4.0 where nothing is learnt
    assert pair_accuracy({"helpfulness": 1.0}, ran.output) == {}
    assert all(
        UNRATED in pair["true"][0] for pair in json.loads((ran.output / "calibration.json").read_text())["pairs"]
    )


def test_a_judge_may_give_some_attributes(run_stage: Any, policy: Path) -> None:
    responses, scores = [], []
    for prompt in range(8):
        for sample, answer in enumerate(("good", "bad")):
            made = rating(prompt, answer, {})
            row = ResponseRow(
                id=f"{prompt}-{sample}", prompt_id=made.prompt_id, family="talk", messages=made.messages,
                response=made.response, response_ids=None, finished=True, logprob=-1.0,
            )  # fmt: skip
            responses.append(row)
            scores.append(ScoreRow(response_id=row.id, score=1.0, attributes={"correctness": 4.0 * (answer == "good")}))
    ran = trained(run_stage, policy, responses=responses, scores=scores)
    assert ran.facts["rows"] + ran.facts["rows_held_out"] == 16
    found = json.loads((ran.output / "calibration.json").read_text())["pairs"]
    assert [pair["true"][0][:2] for pair in found] == [[UNRATED, 4.0]] * (ran.facts["rows_held_out"] // 2)


def test_an_answer_that_nobody_rated_is_refused(run_stage: Any, policy: Path) -> None:
    with pytest.raises(ValueError, match="1-good has none of the attributes"):
        trained(run_stage, policy, ratings=[rating(1, "good", {}), rating(2, "bad", {"correctness": 1.0})])


def loss(targets: list[list[float]], *, weight: float) -> tuple[float, torch.Tensor]:
    values = torch.zeros(len(targets), 5, requires_grad=True)
    extra = {"targets": torch.tensor(targets), "same_prompt": torch.ones(len(targets))}
    mask = torch.zeros(len(targets), 1)
    found = _loss(values, Batch(mask.long(), mask.long(), mask, extra=extra), weight).loss_sum
    found.backward()
    assert values.grad is not None
    return float(found.detach()), values.grad


def test_pairs_are_ordered_by_helpfulness_or_else_by_correctness() -> None:
    none = UNRATED
    helpful = [[4.0, 0.0, none, none, none], [0.0, 4.0, none, none, none]]
    correct = [[none, 4.0, none, none, none], [none, 0.0, none, none, none]]
    mixed = [[4.0, 1.0, none, none, none], [none, 1.0, none, none, none]]
    log2 = 0.6931472
    for rows, column, pairs in ((helpful, 0, 1), (correct, 1, 1), (mixed, 1, 0)):
        alone, _ = loss(rows, weight=0.0)
        both, gradient = loss(rows, weight=1.0)
        assert both - alone == pytest.approx(2 * log2 * pairs, abs=1e-5)
        _, plain = loss(rows, weight=0.0)
        moved = (gradient - plain).abs().sum(dim=0) > 0
        assert moved.tolist() == [pairs > 0 and place == column for place in range(5)]

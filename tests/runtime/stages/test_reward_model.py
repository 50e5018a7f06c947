import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "formats"))

from checkpoints import SHAPES

from compiler.artifacts import Message, PreferenceRow, RatingRow, ResponseRow, ScoreRow
from compiler.schema.model import Layout, Precision
from runtime.engine.batch import Batch
from runtime.engine.model import build
from runtime.engine.parallel import start
from runtime.losses.regression import UNRATED
from runtime.policy import write_policy
from runtime.preferred import loss as preferred_loss
from runtime.rated import loss as rated_loss
from runtime.rewards import pair_accuracy
from runtime.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory, sealed: Callable[[Path], Path]) -> Path:
    home = tmp_path_factory.mktemp("policy")
    tokenizer, policy = home / "tokenizer", home / "policy"
    tokenizer.mkdir()
    policy.mkdir()
    train_tokenizer(["good bad question about"], 300, "compact", tokenizer)
    with start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1):
        model = build(SHAPES["llama"].model_copy(update={"vocab_size": 304}), Layout(), Precision(dtype="fp32"), seed=3)
        write_policy(model, policy, tokenizer=tokenizer, main=True)
    return sealed(policy)


def rating(prompt: int, answer: str, attributes: Mapping[str, float]) -> RatingRow:
    return RatingRow(
        id=f"{prompt}-{answer}",
        prompt_id=str(prompt),
        family="talk",
        messages=(Message(role="user", content=f"question {prompt}"),),
        response=f"{answer} {prompt}",
        attributes=dict(attributes),
    )


def trained(run_stage: Any, policy: Path, loss: Mapping[str, Any] | None = None, epochs: int = 5, **inputs: Any) -> Any:
    fields = {
        "init": "policy",
        **{name: name for name in inputs},
        "loss": loss or {"kind": "regression", "bradley_terry_weight": 1.0},
        "held_out": 0.3,
        "epochs": epochs,
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
    found = rated_loss(values, Batch(mask.long(), mask.long(), mask, extra=extra), weight).loss_sum
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


def preference(prompt: int, margin: float = 1.0) -> PreferenceRow:
    chosen, rejected = rating(prompt, "good", {}), rating(prompt, "bad", {})
    return PreferenceRow(
        id=f"{prompt}",
        prompt_id=str(prompt),
        family="talk",
        messages=chosen.messages,
        chosen=chosen.response,
        rejected=rejected.response,
        chosen_ids=None,
        rejected_ids=None,
        chosen_reward=margin,
        rejected_reward=0.0,
    )


@pytest.mark.parametrize("margin", ["none", "subtracted", "scaled"])
def test_it_learns_which_of_two_answers_is_better(run_stage: Any, policy: Path, margin: str) -> None:
    pairs = [preference(prompt) for prompt in range(24)]
    ran = trained(run_stage, policy, {"kind": "bradley_terry", "margin": margin}, preferences=pairs)
    accuracy, held_out = pair_accuracy({"helpfulness": 1.0}, ran.output)["talk"]
    assert accuracy == 1.0
    assert held_out == ran.facts["rows_held_out"] == 24 - ran.facts["rows"] > 3
    assert ran.facts["steps"] == 5 * (ran.facts["rows"] // 8)  # a batch is of pairs


def test_a_margin_asks_for_a_gap_that_is_wider(run_stage: Any, policy: Path) -> None:
    """-log sigmoid(gap - m) is least where the gap has gone m further."""

    def gap(margin: str) -> float:
        pairs = [preference(prompt, margin=15.0) for prompt in range(16)]
        ran = trained(run_stage, policy, {"kind": "bradley_terry", "margin": margin}, 20, preferences=pairs)
        told = json.loads((ran.output / "calibration.json").read_text())["pairs"]
        return sum(pair["predicted"][0][0] - pair["predicted"][1][0] for pair in told) / len(told)

    assert gap("subtracted") > gap("none") + 2


def test_pairs_of_unequal_margin_weigh_by_them() -> None:
    values = torch.zeros(4, 5, requires_grad=True)
    mask = torch.zeros(4, 1)
    batch = Batch(mask.long(), mask.long(), mask, extra={"margins": torch.tensor([3.0, 3.0, 1.0, 1.0])})
    preferred_loss(values, batch, "scaled").loss_sum.backward()
    assert values.grad is not None
    assert values.grad[:, 0].tolist() == pytest.approx([-1.5, 1.5, -0.5, 0.5])  # -m sigmoid(-gap), at a gap of 0
    assert not values.grad[:, 1:].any()  # one reward, the other outputs are left alone


def test_a_reward_model_goes_on_from_another_with_its_head(run_stage: Any, policy: Path) -> None:
    pairs = [preference(prompt) for prompt in range(16)]
    loss = {"kind": "bradley_terry", "margin": "none"}
    first = trained(run_stage, policy, loss, preferences=pairs)
    second = trained(run_stage, first.output, loss, 1, preferences=pairs)
    assert second.facts["first_loss"] < first.facts["last_loss"] * 1.5
    assert second.facts["first_loss"] < 0.3 < first.facts["first_loss"]


def test_it_can_be_examined_as_a_judge_on_pairs_that_it_has_not_seen(
    run_stage: Any, policy: Path, sealed: Callable[[Path], Path]
) -> None:
    learnt = trained(
        run_stage, policy, {"kind": "bradley_terry", "margin": "none"}, preferences=[preference(n) for n in range(24)]
    )
    unseen = [preference(number) for number in range(100, 112)]
    turned = [
        row.model_copy(update={"family": "turned", "chosen": row.rejected, "rejected": row.chosen}) for row in unseen
    ]
    judge = {"kind": "reward_model", "model": "judge", "weights": {"helpfulness": 1.0}, "gate": 0.9}
    inputs = {"judge": sealed(learnt.output), "pairs": [*unseen, *turned]}
    facts = run_stage("examine", {"judge": judge, "preferences": "pairs"}, inputs).facts
    assert (facts["families"]["talk"]["accuracy"], facts["families"]["turned"]["accuracy"]) == (1.0, 0.0)
    assert facts["accuracy"] == 0.5

import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from engine_cases import ADAM, BF16, FP32, LLAMA, NEMOTRON, batches, environment, hashes, make, same_weights, weights
from plain_torch import PlainTraining, from_megatron
from torch import Tensor

from compiler.schema.model import Precision
from runtime.engine.batch import Batch, collate_whole
from runtime.engine.checkpoint import load_weights, save_weights
from runtime.engine.keeping import Checkpointing
from runtime.engine.loop import StepRecord, Trained, train
from runtime.engine.model import Model, Regression
from runtime.engine.objective import LossOutput, next_token
from runtime.engine.trouble import TrainingDivergedError

NUM_STEPS = 6


def run(model: Model, *, num_steps: int = NUM_STEPS, size: int = 8, checkpointing: Checkpointing | None = None):
    records: list[StepRecord] = []
    train(
        model,
        ADAM,
        num_steps=num_steps,
        learning_rate=lambda step: 1e-3 * (step + 1),
        micro_batches=lambda step: batches(step, size=size),
        objective=next_token,
        checkpointing=checkpointing,
        on_step=records.append,
    )
    return records


def test_losses_and_weights_follow_a_plain_torch_loop() -> None:
    model = make()
    plain = from_megatron(NEMOTRON, {name: weight.clone() for name, weight in weights(model).items()})
    records: list[StepRecord] = []
    train(
        model,
        ADAM,
        num_steps=8,
        learning_rate=lambda step: 1e-2,
        micro_batches=lambda step: batches(step % 2),
        objective=next_token,
        on_step=records.append,
    )
    training = PlainTraining(
        plain,
        learning_rate=1e-2,
        weight_decay=ADAM.weight_decay,
        betas=(ADAM.beta1, ADAM.beta2),
        epsilon=ADAM.epsilon,
        clip=ADAM.clip_grad,
    )
    losses = [
        training.step([(b.tokens_BL, b.labels_BL, b.loss_mask_BL) for b in batches(step % 2)]) for step in range(8)
    ]
    assert [record.loss for record in records] == pytest.approx(losses, abs=1e-4)
    assert losses[-1] < losses[0] - 0.5
    # Vectors do not decay, matrices do: a plain model whose norms decayed would differ by far more than this.
    expected = from_megatron(NEMOTRON, weights(model)).state_dict()
    for name, weight in plain.state_dict().items():
        assert torch.allclose(weight, expected[name], atol=2e-3), name


def test_a_step_is_reported_as_the_user_sees_it() -> None:
    record = run(make(), num_steps=1, size=2)[0]
    assert (record.step, record.learning_rate, record.tokens, record.metrics) == (0, 1e-3, 8 * 12, {})
    assert record.loss == pytest.approx(math.log(NEMOTRON.vocab_size), abs=0.2)
    assert record.grad_norm > 0
    assert record.seconds > 0


@pytest.mark.parametrize("precision", [FP32, BF16], ids=lambda precision: precision.dtype)
def test_micro_batches_do_not_change_the_step(precision: Precision) -> None:
    whole, split = (run(make(precision=precision), size=size) for size in (8, 2))
    tolerance = 1e-5 if precision == FP32 else 2e-2
    assert [record.loss for record in split] == pytest.approx([record.loss for record in whole], abs=tolerance)
    assert [r.grad_norm for r in split] == pytest.approx([r.grad_norm for r in whole], rel=100 * tolerance)


def test_metrics_are_means_over_the_weight_and_the_weight_need_not_be_whole() -> None:
    def objective(logprobs: Tensor, batch: Batch) -> LossOutput:
        loss = next_token(logprobs, batch)
        return replace(loss, weight=0.25 * float(loss.weight), metrics={"same": loss.loss_sum.detach()})

    records: list[StepRecord] = []
    train(
        make(),
        ADAM,
        num_steps=1,
        learning_rate=lambda step: 1e-3,
        micro_batches=lambda step: batches(step, size=4),
        objective=objective,
        on_step=records.append,
    )
    expected = run(make(), num_steps=1)[0]
    assert records[0].loss == pytest.approx(4 * expected.loss, rel=1e-5)
    assert records[0].metrics["same"] == pytest.approx(records[0].loss, rel=1e-5)
    assert records[0].grad_norm == pytest.approx(4 * expected.grad_norm, rel=1e-4)


def test_a_regression_head_learns_and_starts_from_a_policy_s_body(tmp_path: Path) -> None:
    policy = make(LLAMA)
    save_weights(policy, tmp_path / "policy")
    model = make(LLAMA, seed=9, head=Regression(2))
    load_weights(model, tmp_path / "policy", body_only=True)
    body, ours = weights(policy), weights(model)
    assert all(torch.equal(ours[name], body[name]) for name in ours if name.startswith(("decoder.", "embedding.")))

    def micro_batches(step: int) -> list[Batch]:
        generator = torch.Generator().manual_seed(step % 4)
        rows = [torch.randint(0, 96, (3 + row,), generator=generator).tolist() for row in range(8)]
        targets = torch.tensor([[row[-1] / 96, float(len(row) > 6)] for row in rows])
        return [collate_whole(rows, extra={"targets": targets})]

    def objective(values: Tensor, batch: Batch) -> LossOutput:
        return LossOutput(((values - batch.extra["targets"]) ** 2).sum(), weight=float(len(values)))

    records: list[StepRecord] = []
    train(
        model,
        ADAM,
        num_steps=40,
        learning_rate=lambda step: 3e-3,
        micro_batches=micro_batches,
        objective=objective,
        on_step=records.append,
    )
    assert records[-1].loss < 0.1 * records[0].loss
    save_weights(model, tmp_path / "reward")
    again = make(LLAMA, seed=1, head=Regression(2))
    load_weights(again, tmp_path / "reward")
    assert same_weights(model, again)


def test_a_loss_that_is_not_a_number_stops_before_the_weights_change() -> None:
    model, untouched = make(), make()

    def objective(logprobs: Tensor, batch: Batch) -> LossOutput:
        return LossOutput(loss_sum=(logprobs * math.nan).sum(), weight=1.0)

    with pytest.raises(TrainingDivergedError, match="step 0"):
        train(
            model,
            ADAM,
            num_steps=2,
            learning_rate=lambda step: 1e-3,
            micro_batches=batches,
            objective=objective,
        )
    assert same_weights(model, untouched)


def test_a_batch_in_which_nothing_counts_is_refused() -> None:
    def empty(step: int) -> list[Batch]:
        return [replace(batch, loss_mask_BL=torch.zeros_like(batch.loss_mask_BL)) for batch in batches(step)]

    with pytest.raises(ValueError, match="counts"):
        train(
            make(),
            ADAM,
            num_steps=1,
            learning_rate=lambda step: 1e-3,
            micro_batches=empty,
            objective=next_token,
        )


@pytest.mark.parametrize("precision", [FP32, BF16], ids=lambda precision: precision.dtype)
@pytest.mark.parametrize("name", ["nemotron", "llama"])
def test_an_interrupted_run_ends_with_the_same_bits_and_bytes(tmp_path: Path, name: str, precision: Precision) -> None:
    spec = {"nemotron": NEMOTRON, "llama": LLAMA}[name]
    straight = make(spec, precision)
    records = run(straight)
    save_weights(straight, tmp_path / "straight")

    checkpointing = Checkpointing(tmp_path / "training", every=2)
    run(make(spec, precision), num_steps=5, checkpointing=checkpointing)
    resumed = make(spec, precision)
    rest = run(resumed, checkpointing=checkpointing)
    assert [record.step for record in rest] == [4, 5]
    assert [record.loss for record in rest] == [record.loss for record in records[4:]]
    assert same_weights(straight, resumed)
    save_weights(resumed, tmp_path / "resumed")
    assert hashes(tmp_path / "straight") == hashes(tmp_path / "resumed")


def test_only_the_last_checkpoint_is_kept_and_a_partial_one_is_not_used(tmp_path: Path) -> None:
    checkpointing = Checkpointing(tmp_path, every=2)
    run(make(), num_steps=4, checkpointing=checkpointing)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000004"]
    (tmp_path / ".step-000000006.partial").mkdir()
    assert [record.step for record in run(make(), checkpointing=checkpointing)] == [4, 5]


def test_killed_without_warning_it_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    straight = make()
    run(straight, num_steps=40)
    save_weights(straight, tmp_path / "straight")

    checkpoints = tmp_path / "training"
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("engine_victim.py")), str(tmp_path)]
    victim = subprocess.Popen(command, env=environment())
    deadline = time.monotonic() + 300
    while not list(checkpoints.glob("step-*")) and victim.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL, "the run ended before it could be killed"

    resumed = make()
    rest = run(resumed, num_steps=40, checkpointing=Checkpointing(checkpoints, every=3))
    assert 0 < rest[0].step < 40
    save_weights(resumed, tmp_path / "resumed")
    assert hashes(tmp_path / "straight") == hashes(tmp_path / "resumed")


def test_before_a_step_that_other_ranks_must_make_a_checkpoint_is_left_for_them(tmp_path: Path) -> None:
    steps: list[int] = []

    def go_on(ranks: Callable[[int], int], every: int) -> Trained:
        steps.clear()
        return train(
            make(),
            ADAM,
            num_steps=NUM_STEPS,
            learning_rate=lambda step: 1e-3,
            micro_batches=batches,
            objective=next_token,
            checkpointing=Checkpointing(tmp_path, every=every),
            ranks=ranks,
            on_step=lambda record: steps.append(record.step),
        )

    assert go_on(lambda step: 1 if step < 3 else 2, every=0) == (0, 3)
    assert steps == [0, 1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000003"]
    with pytest.raises(ValueError, match="step 3 is for a number of ranks of 2, and this job has 1"):
        go_on(lambda step: 1 if step < 3 else 2, every=0)
    assert steps == [], "no step is made by the wrong ranks"
    # What is due anyway is not written twice.
    assert go_on(lambda step: 1 if step < 4 else 2, every=4) == (3, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000004"]
    assert go_on(lambda step: 1, every=4) == (4, NUM_STEPS)

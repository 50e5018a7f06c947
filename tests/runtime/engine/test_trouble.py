"""Steps that go wrong, made to: what is done instead, and that it is the same after a resume."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from engine_cases import ADAM, batches, make, poisoned, same_weights, spoilt

from compiler.schema.training import Spike, Trouble
from runtime.engine.batch import Batch
from runtime.engine.keeping import Checkpointing
from runtime.engine.loop import Care, HeldOut, StepRecord, train
from runtime.engine.model import Model
from runtime.engine.trouble import TrainingDivergedError, Watch

NUM_STEPS = 8


def run(
    steps: list[int],
    *,
    bad: dict[int, float] | None = None,
    policy: Trouble | None = None,
    folder: Path | None = None,
    upto: int | None = None,
    told: dict[int, StepRecord] | None = None,
) -> tuple[Model, dict[int, StepRecord]]:
    """Trains on the batches of these steps, each at its own rate; what was told before a resume is its history."""
    model = make()
    records: dict[int, StepRecord] = dict(told or {})

    def micro_batches(step: int) -> list[Batch]:
        factor = (bad or {}).get(steps[step])
        return [batch if factor is None else spoilt(batch, factor) for batch in batches(steps[step], size=4)]

    def history(begin: int) -> list[tuple[float, bool]]:
        return [(records[step].loss, records[step].metrics["lost"] == 1) for step in range(begin)] if told else []

    train(
        model,
        ADAM,
        num_steps=upto or len(steps),
        learning_rate=lambda step: 1e-3 * (steps[step] + 1),
        micro_batches=micro_batches,
        objective=poisoned,
        checkpointing=Checkpointing(folder, every=2) if folder else None,
        care=Care(policy, history),
        on_step=lambda record: records.update({record.step: record}),
    )
    return model, records


def lost(records: dict[int, StepRecord]) -> list[int]:
    return [step for step, record in sorted(records.items()) if record.metrics["lost"]]


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_a_skipped_step_leaves_no_trace(factor: float) -> None:
    policy = Trouble(not_a_number="skip", most=1)
    model, records = run(list(range(NUM_STEPS)), bad={3: factor}, policy=policy)
    without, _ = run([0, 1, 2, 4, 5, 6, 7])
    assert lost(records) == [3]
    assert same_weights(model, without)


def test_a_gradient_that_is_no_number_under_a_finite_loss_is_skipped_too() -> None:
    def objective(logprobs, batch):
        loss = poisoned(logprobs, batch)
        # sqrt has no derivative at 0, and 0 * inf is no number.
        root = (logprobs[0, 0] * 0).sqrt() if "factor" in batch.extra else 0.0
        return replace(loss, loss_sum=loss.loss_sum + root)

    found = []
    model = make()
    train(
        model,
        ADAM,
        num_steps=2,
        learning_rate=lambda step: 1e-3,
        micro_batches=lambda step: [spoilt(batch, 1.0) if step == 0 else batch for batch in batches(step)],
        objective=objective,
        care=Care(Trouble(not_a_number="skip", most=1)),
        on_step=found.append,
    )
    assert math.isfinite(found[0].loss)
    assert not math.isfinite(found[0].grad_norm)
    assert [record.metrics["lost"] for record in found] == [1, 0]
    assert all(parameter.isfinite().all() for parameter in model.chunks[0].parameters())


def test_rewinding_goes_on_from_the_last_checkpoint_after_the_bad_batch(tmp_path: Path) -> None:
    policy = Trouble(not_a_number="rewind", most=3)
    model, records = run(list(range(NUM_STEPS)), bad={5: math.nan}, policy=policy, folder=tmp_path / "one")
    without, _ = run([0, 1, 2, 3, 6, 7])
    assert lost(records) == [4, 5]  # a checkpoint was kept when four steps were done
    assert same_weights(model, without)
    with pytest.raises(TrainingDivergedError, match="no checkpoint yet"):
        run(list(range(4)), bad={1: math.nan}, policy=policy, folder=tmp_path / "two")


@pytest.mark.parametrize("then", ["skip", "rewind"])
def test_a_resumed_run_meets_the_same_trouble_in_the_same_way(tmp_path: Path, then: str) -> None:
    spike = Spike(factor=1.5, window=3, then=then)
    policy = Trouble(not_a_number=then, spike=spike, most=4)
    bad = {3: 2.0, 6: math.nan}
    steps = list(range(NUM_STEPS))
    straight, records = run(steps, bad=bad, policy=policy, folder=tmp_path / "straight")
    assert lost(records) == ([3, 6] if then == "skip" else [2, 3, 6])
    for stop in (3, 5, 7):
        folder = tmp_path / f"stopped-{stop}"
        _, told = run(steps, bad=bad, policy=policy, folder=folder, upto=stop)
        resumed, again = run(steps, bad=bad, policy=policy, folder=folder, told=told)
        assert lost(again) == lost(records)
        assert same_weights(straight, resumed)


@pytest.mark.parametrize(
    ("policy", "bad"),
    [
        (None, {2: math.nan}),
        (Trouble(not_a_number="stop", most=9), {2: math.nan}),
        (Trouble(not_a_number="skip", spike=Spike(factor=1.5, window=2, then="stop"), most=9), {2: 2.0}),
        (Trouble(not_a_number="skip", most=1), {1: math.nan, 2: math.nan}),
    ],
    ids=["no policy", "stop", "spike", "too many"],
)
def test_a_run_that_stops_says_at_which_step(policy: Trouble | None, bad: dict[int, float]) -> None:
    with pytest.raises(TrainingDivergedError, match="step 2"):
        run(list(range(4)), bad=bad, policy=policy)


def test_a_loss_that_rises_within_reason_is_no_spike() -> None:
    watch = Watch(Trouble(not_a_number="stop", spike=Spike(factor=2.0, window=3, then="skip"), most=9))
    losses = [9.0, 1.0, 1.1, 0.9, 1.9, 2.5, 1.0, 0.9, 2.5]
    # 9.0 comes before there is a window. 1.9 is below twice the median of those before it, 2.5 is above.
    verdicts = [watch.judge(step, loss, 1.0) for step, loss in enumerate(losses)]
    assert verdicts == ["update"] * 5 + ["skip", "update", "update", "skip"]


def test_rows_held_out_are_looked_at_and_not_learnt() -> None:
    found: list[StepRecord] = []
    model, plain = make(), make()
    for which, held_out in ((model, HeldOut(every=3, micro_batches=lambda: batches(50, size=4))), (plain, None)):
        train(
            which,
            ADAM,
            num_steps=5,
            learning_rate=lambda step: 1e-2,
            micro_batches=lambda step: batches(step % 2),
            objective=poisoned,
            held_out=held_out,
            on_step=found.append,
        )
    assert [record.step for record in found if "held_out_loss" in record.metrics] == [2, 4]
    assert same_weights(model, plain)
    after = train_loss(model)
    assert found[4].metrics["held_out_loss"] == pytest.approx(after, rel=1e-5)
    json.dumps([record.metrics for record in found])


def train_loss(model: Model) -> float:
    """Of the rows held out, by another way."""
    from runtime.engine.logprobs import sequence_logprobs

    rows = batches(50, size=4)
    total = sum(float(sequence_logprobs(model, batch).sum()) for batch in rows)
    return -total / sum(float(batch.loss_mask_BL.sum()) for batch in rows)

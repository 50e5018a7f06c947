"""How every stage trains: where its rows come from at each step, its checkpoints, its curve.

A stage says what a micro-batch and a loss are; all of them share what is here.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from compiler.legs import checkpoint_folder, leg_at, legs_of
from compiler.schema.training import LearningRate, num_steps
from compiler.stages.prefer import Prefer
from compiler.stages.pretrain import Pretrain
from compiler.stages.reward_model import RewardModel
from compiler.stages.sft import Sft
from runtime.context import Context
from runtime.curve import Curve, rate_at_end
from runtime.engine.batch import Batch
from runtime.engine.keeping import Checkpointing
from runtime.engine.loop import Care, HeldOut, StepRecord, train
from runtime.engine.model import Model
from runtime.engine.objective import Objective
from runtime.engine.parallel import Options, World, start
from runtime.legs import LegDoneError
from runtime.order import EpochOrder
from runtime.policy import open_policy
from runtime.trackers import open_trackers

InEpochs = Sft | Prefer | RewardModel
"""Stages that pass over rows, in an order of their seed."""
Trained = Pretrain | InEpochs

_HELD_OUT_ROWS = 64
"""Most rows of one forward pass over what is held out."""


@dataclass(frozen=True)
class Steps:
    """What is trained on, step by step: functions of the step alone, so that a resumed run does the same."""

    count: int
    learning_rate: Callable[[int], float]
    micro_batches: Callable[[int], Sequence[Batch]]
    """This data-parallel rank's."""


@contextmanager
def joined(stage: Trained, ctx: Context) -> Iterator[World]:
    """This process as a rank of its stage's job."""
    layout, rendezvous = ctx.placement.layout, ctx.rendezvous
    with start(layout, rank=ctx.rank, world_size=ctx.world_size, rendezvous=rendezvous, seed=stage.seed) as world:
        yield world


def to_be_trained(init: Path, stage: Pretrain | Sft | Prefer, ctx: Context) -> Model:
    """The policy that the stage starts from, in its precision and layout, and as exact as it was left."""
    options = Options.of(ctx.placement)
    return open_policy(init, ctx.placement.layout, stage.precision, options=options, to_train=True)


def epochs(
    stage: InEpochs,
    ctx: Context,
    world: World,
    *,
    num_rows: int,
    collate: Callable[[Sequence[int]], Batch],
    group: int = 1,
) -> Steps:
    """Whole batches of the stage's epochs over `num_rows` rows; `collate` makes a micro-batch of rows by number.

    With a `group` of 2, say, rows stay together two by two (the last may meet one again), and the numbers are those
    of the pairs.
    """
    order = EpochOrder(-(-num_rows // group), max(1, stage.global_batch_size // group), stage.seed)
    count = num_steps(num_rows, stage.epochs, stage.global_batch_size)
    ranks, size = ctx.placement.layout.dp, ctx.placement.micro_batch_size
    groups = max(1, size // group) if size else None

    def micro_batches(step: int) -> list[Batch]:
        return [collate(rows) for rows in order.micro_batches(step, rank=world.dp_rank, ranks=ranks, size=groups)]

    rate = known_rate(stage.learning_rate, ctx, stage.init)
    return Steps(count, lambda step: rate.at(step, count), micro_batches)


def known_rate(rate: LearningRate, ctx: Context, init: str | None) -> LearningRate:
    """The schedule with its start known, where it goes on from the end of another's."""
    return rate.after(rate_at_end(ctx.input(init))) if rate.continues and init else rate


def held_out(
    stage: Pretrain | Sft | Prefer,
    ctx: Context,
    world: World,
    *,
    num_rows: int,
    collate: Callable[[Sequence[int]], Batch],
) -> HeldOut | None:
    """The rows that the stage's `evaluation` asks for, of the `num_rows` that its data has; None where it asks nothing.

    Data-parallel ranks take every so-manieth; since losses are means over all labels, the shares may differ by a row.
    """
    if stage.evaluation is None:
        return None
    ranks = ctx.placement.layout.dp
    rows = range(min(num_rows, stage.evaluation.rows))[world.dp_rank :: ranks]
    if len(rows) == 0:
        raise ValueError(f"`evaluation` has {min(num_rows, stage.evaluation.rows)} rows for {ranks} ranks")
    size = min(ctx.placement.micro_batch_size or _HELD_OUT_ROWS, _HELD_OUT_ROWS)
    batches = [collate(rows[first : first + size]) for first in range(0, len(rows), size)]
    return HeldOut(stage.evaluation.every_steps, lambda: batches)


def fit(
    stage: Trained,
    ctx: Context,
    model: Model,
    steps: Steps,
    objective: Objective,
    *,
    looking_at: HeldOut | None = None,
) -> Curve:
    """Trains the model in place, from the last checkpoint in scratch where there is one. Called on every rank.

    Raises LegDoneError where other ranks are to go on from there.
    """
    curve = Curve(ctx, steps.count)
    legs = legs_of(stage, ctx.manifest.placement)
    with open_trackers(ctx) as track:

        def tell(record: StepRecord) -> None:
            curve.record(record)
            track(record.step, {"loss": record.loss, "learning_rate": record.learning_rate, **record.metrics})

        trained = train(
            model,
            stage.optimizer,
            num_steps=steps.count,
            learning_rate=steps.learning_rate,
            micro_batches=steps.micro_batches,
            objective=objective,
            checkpointing=Checkpointing.of(ctx.placement, checkpoint_folder(ctx.scratch)),
            care=Care(stage.trouble, curve.history),
            held_out=looking_at,
            ranks=lambda step: legs[leg_at(legs, step)].ranks,
            on_step=tell,
        )
    if trained.end < steps.count:
        raise LegDoneError
    return curve

"""pretrain: next-token training in phases, each with its own blend, batch ramp and learning rate."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from compiler.schema.model import ModelSpec
from compiler.stages.pretrain import Pretrain
from runtime.context import Context, Facts
from runtime.engine.batch import Batch
from runtime.engine.data import PretrainingSamples, Source, pretraining_samples
from runtime.engine.model import Model, build
from runtime.engine.objective import next_token
from runtime.engine.parallel import Options
from runtime.policy import write_policy
from runtime.stages.tokenize import PREFIX
from runtime.tokenizer import ChatTokenizer
from runtime.training import Steps, fit, held_out, joined, known_rate, to_be_trained


@dataclass(frozen=True)
class _Stretch:
    """Steps of one batch size within one phase."""

    phase: int
    batch_size: int
    steps: int
    first_sample: int
    """of the phase's samples"""


def run(stage: Pretrain, ctx: Context) -> Facts:
    """Trains from scratch or from `init`; facts: tokens by phase and source weight, losses."""
    placement = ctx.placement
    stretches = _stretches(stage)
    ends = list(accumulate(stretch.steps for stretch in stretches))
    schedules = stage.schedules()
    first_steps = [schedule.first_step for schedule in schedules]
    rates = {schedule.first_step: known_rate(schedule.rate, ctx, stage.init) for schedule in schedules}
    phase_steps = [sum(phase.steps(stage.seq_length)) for phase in stage.phases]
    with joined(stage, ctx) as world:
        model = _model(stage, ctx)
        samples = [
            _samples(stage, number, phase.blend, _num_samples(stretches, number), model.spec, ctx)
            for number, phase in enumerate(stage.phases)
        ]

        def place(step: int) -> tuple[_Stretch, int]:
            """The stretch of a step, and the step's number within it."""
            number = bisect_right(ends, step)
            return stretches[number], step - (ends[number] - stretches[number].steps)

        def learning_rate(step: int) -> float:
            schedule = schedules[bisect_right(first_steps, step) - 1]
            return rates[schedule.first_step].at(step - schedule.first_step, schedule.steps)

        def micro_batches(step: int) -> list[Batch]:
            stretch, within = place(step)
            share = stretch.batch_size // placement.layout.dp
            first = stretch.first_sample + within * stretch.batch_size + world.dp_rank * share
            size = min(placement.micro_batch_size or share, share)
            return [
                samples[stretch.phase].batch(range(begin, begin + size)) for begin in range(first, first + share, size)
            ]

        looking_at = None
        if stage.evaluation is not None:
            others = _samples(stage, "held-out", {stage.evaluation.data: 1.0}, stage.evaluation.rows, model.spec, ctx)
            looking_at = held_out(stage, ctx, world, num_rows=len(others), collate=others.batch)
        steps = Steps(ends[-1], learning_rate, micro_batches)
        curve = fit(stage, ctx, model, steps, next_token, looking_at=looking_at)
        write_policy(model, ctx.output, tokenizer=ctx.input(stage.tokenizer), main=world.is_main)
    facts = {
        "phases": [
            {
                "name": phase.name,
                "steps": count,
                "blend": [weight / sum(phase.blend.values()) for weight in phase.blend.values()],
                "batch_sizes": [ramp.global_batch_size for ramp in phase.batch_ramp],
            }
            for phase, count in zip(stage.phases, phase_steps, strict=True)
        ]
    }
    return {**facts, **curve.seal(ctx.output)} if ctx.rank == 0 else facts


def _stretches(stage: Pretrain) -> list[_Stretch]:
    stretches = []
    for number, phase in enumerate(stage.phases):
        samples = 0
        for ramp, count in zip(phase.batch_ramp, phase.steps(stage.seq_length), strict=True):
            stretches.append(_Stretch(number, ramp.global_batch_size, count, samples))
            samples += ramp.global_batch_size * count
    return stretches


def _model(stage: Pretrain, ctx: Context) -> Model:
    if stage.init is not None:
        return to_be_trained(ctx.input(stage.init), stage, ctx)
    assert stage.model is not None
    return build(stage.model, ctx.placement.layout, stage.precision, seed=stage.seed, options=Options.of(ctx.placement))


def _num_samples(stretches: Sequence[_Stretch], phase: int) -> int:
    return sum(stretch.batch_size * stretch.steps for stretch in stretches if stretch.phase == phase)


def _samples(
    stage: Pretrain, name: int | str, blend: Mapping[str, float], count: int, spec: ModelSpec, ctx: Context
) -> PretrainingSamples:
    """Sources in the order of their fingerprints, so that a stage renamed is still the same blend.

    `name` is the number of the phase, or that of what is held out, whose order is the stage's seed's own.
    """
    sources = sorted((ctx.manifest.inputs[ref].fingerprint, ctx.input(ref), weight) for ref, weight in blend.items())
    return pretraining_samples(
        [Source(folder / PREFIX, weight) for _, folder, weight in sources],
        seq_length=stage.seq_length,
        num_samples=count,
        vocab_size=spec.vocab_size,
        end_id=ChatTokenizer.load(ctx.input(stage.tokenizer)).end_of_text_id,
        seed=stage.seed + (name if isinstance(name, int) else 0),
        cache=ctx.scratch / f"index-{name}",
    )

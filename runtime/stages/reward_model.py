"""reward_model: HelpSteer's attributes, or one reward, from the hidden state at the last token."""

import json

from compiler.stages.reward_model import RewardModel
from runtime import preferred, rated
from runtime.context import Context, Facts
from runtime.engine.checkpoint import load_weights
from runtime.engine.model import build
from runtime.engine.parallel import Options
from runtime.policy import TOKENIZER, WEIGHTS, read_model_spec, write_policy
from runtime.rewards import CALIBRATION, HEAD, pair_accuracy
from runtime.tokenizer import ChatTokenizer
from runtime.training import epochs, fit, joined


def run(stage: RewardModel, ctx: Context) -> Facts:
    """Trains the reward model and calibrates it on held-out prompts; facts: rows, pair accuracy by family, losses."""
    init = ctx.input(stage.init)
    tokenizer = ChatTokenizer.load(init / TOKENIZER)
    kind = rated if stage.preferences is None else preferred
    lessons = kind.lessons(stage, ctx, tokenizer)
    with joined(stage, ctx) as world:
        layout, options = ctx.placement.layout, Options.of(ctx.placement)
        model = build(read_model_spec(init), layout, stage.precision, seed=stage.seed, head=HEAD, options=options)
        # Another reward model's head says something already; a policy has none.
        load_weights(model, init / WEIGHTS, body_only=not (init / CALIBRATION).exists(), to_train=True)
        steps = epochs(stage, ctx, world, num_rows=lessons.num_rows, group=lessons.group, collate=lessons.collate)
        curve = fit(stage, ctx, model, steps, lessons.objective)
        write_policy(model, ctx.output, tokenizer=init / TOKENIZER, main=world.is_main)
        calibration = lessons.calibrate(model)
    if ctx.rank != 0:
        return {}
    (ctx.output / CALIBRATION).write_text(json.dumps(calibration, indent=1), encoding="utf-8")
    helpfulness = {
        family: {"accuracy": accuracy, "pairs": count}
        for family, (accuracy, count) in pair_accuracy({"helpfulness": 1.0}, ctx.output).items()
    }
    return {
        "rows": lessons.num_rows,
        "rows_held_out": lessons.num_held_out,
        "pair_accuracy_by_helpfulness": helpfulness,
        "held_out_mse": calibration["mse"],
        **curve.seal(ctx.output),
    }

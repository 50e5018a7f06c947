"""sft: supervised fine-tuning, loss on the assistant's tokens only."""

from compiler.artifacts import DialogueRow
from compiler.schema.training import num_steps
from compiler.stages.sft import Sft
from runtime.context import Context, Facts
from runtime.curve import Curve
from runtime.engine.batch import Batch, collate
from runtime.engine.loop import Checkpointing, train
from runtime.engine.objective import next_token
from runtime.engine.parallel import start
from runtime.order import EpochOrder
from runtime.policy import TOKENIZER, open_policy, write_policy
from runtime.rows import read_rows
from runtime.tokenizer import ChatTokenizer


def run(stage: Sft, ctx: Context) -> Facts:
    """Trains the policy; facts: rows, tokens learnt, share of synthetic rows, losses."""
    init = ctx.input(stage.init)
    tokenizer = ChatTokenizer.load(init / TOKENIZER)
    rows = list(read_rows(ctx.input(stage.data), DialogueRow))
    examples = [tokenizer.encode_dialogue(row.messages, row.answer_ids) for row in rows]
    order = EpochOrder(len(rows), stage.global_batch_size, stage.seed)
    steps = num_steps(len(rows), stage.epochs, stage.global_batch_size)
    placement = ctx.placement
    with start(
        placement.layout, rank=ctx.rank, world_size=ctx.world_size, rendezvous=ctx.rendezvous, seed=stage.seed
    ) as world:
        model = open_policy(init, placement.layout, stage.precision)
        curve = Curve(ctx, steps)

        def micro_batches(step: int) -> list[Batch]:
            shares = order.micro_batches(
                step, rank=world.dp_rank, ranks=placement.layout.dp, size=placement.micro_batch_size
            )
            return [
                collate(
                    [examples[row][0] for row in share], [examples[row][1] for row in share], pad_id=tokenizer.pad_id
                )
                for share in shares
            ]

        train(
            model,
            stage.optimizer,
            num_steps=steps,
            learning_rate=lambda step: stage.learning_rate.at(step, steps),
            micro_batches=micro_batches,
            objective=next_token,
            checkpointing=Checkpointing(ctx.scratch / "checkpoints", placement.checkpoint_every_steps),
            on_step=curve.record,
        )
        write_policy(model, ctx.output, tokenizer=init / TOKENIZER, main=world.is_main)
    synthetic = sum(row.origin == "model" for row in rows)
    facts = {
        "rows": len(rows),
        "rows_synthetic": synthetic,
        "rows_human": len(rows) - synthetic,
        "tokens_learnt_per_epoch": sum(sum(mask) for _, mask in examples),
    }
    return {**facts, **curve.seal(ctx.output)} if ctx.rank == 0 else facts

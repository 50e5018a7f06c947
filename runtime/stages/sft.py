"""sft: supervised fine-tuning, loss on the assistant's tokens only."""

from collections.abc import Iterable, Sequence
from functools import partial

from compiler.artifacts import DialogueRow
from compiler.stages.sft import Sft
from runtime.context import Context, Facts
from runtime.engine.batch import Batch, pack
from runtime.engine.objective import next_token
from runtime.policy import TOKENIZER, write_policy
from runtime.rows import read_rows
from runtime.tokenizer import ChatTokenizer, Encoded
from runtime.training import epochs, fit, held_out, joined, to_be_trained


def run(stage: Sft, ctx: Context) -> Facts:
    """Trains the policy; facts: rows, tokens learnt, share of synthetic rows, losses."""
    init = ctx.input(stage.init)
    tokenizer = ChatTokenizer.load(init / TOKENIZER)
    rows = list(read_rows(ctx.input(stage.data), DialogueRow))
    examples = _encoded(tokenizer, rows)
    others = _encoded(tokenizer, read_rows(ctx.input(stage.evaluation.data), DialogueRow)) if stage.evaluation else []

    with joined(stage, ctx) as world:
        model = to_be_trained(init, stage, ctx)
        steps = epochs(stage, ctx, world, num_rows=len(rows), collate=partial(_collate, examples, tokenizer.pad_id))
        rest = partial(_collate, others, tokenizer.pad_id)
        looking_at = held_out(stage, ctx, world, num_rows=len(others), collate=rest)
        curve = fit(stage, ctx, model, steps, next_token, looking_at=looking_at)
        write_policy(model, ctx.output, tokenizer=init / TOKENIZER, main=world.is_main)
    synthetic = sum(row.origin == "model" for row in rows)
    facts = {
        "rows": len(rows),
        "rows_synthetic": synthetic,
        "rows_human": len(rows) - synthetic,
        "tokens_learnt_per_epoch": sum(sum(mask) for _, mask in examples),
    }
    return {**facts, **curve.seal(ctx.output)} if ctx.rank == 0 else facts


def _encoded(tokenizer: ChatTokenizer, rows: Iterable[DialogueRow]) -> list[Encoded]:
    return [tokenizer.encode_dialogue(row.messages, row.answer_ids) for row in rows]


def _collate(examples: Sequence[Encoded], pad_id: int, numbers: Sequence[int]) -> Batch:
    ids, masks = zip(*(examples[number] for number in numbers), strict=True)
    return pack(ids, masks, pad_id=pad_id)

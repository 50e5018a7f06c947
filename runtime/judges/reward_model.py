"""A trained reward model as judge; silent on families where it is not better than its gate."""

from collections.abc import Sequence

from compiler.artifacts import ATTRIBUTES, ResponseRow, ScoreRow
from compiler.schema.judges import RewardModelJudge
from runtime.context import Context
from runtime.engine.parallel import start
from runtime.judged import Opinion
from runtime.policy import TOKENIZER
from runtime.rewards import attribute_batches, attributes_of, open_reward_model, scalar, speaking_families
from runtime.shares import Batches
from runtime.tokenizer import ChatTokenizer


def judge(spec: RewardModelJudge, rows: Sequence[ResponseRow], ctx: Context) -> Opinion:
    """One score for each response, raw floats; None on the families below the gate, or not calibrated if there is one.
    A share raises ShareDoneError."""
    folder = ctx.input(spec.model)
    tokenizer = ChatTokenizer.load(folder / TOKENIZER)
    speaks = speaking_families(spec, folder)
    sequences = [
        [*tokenizer.encode_prompt(row.messages), *tokenizer.answer_ids(row.response, row.response_ids)] for row in rows
    ]
    batches = Batches(ctx, "attributes", attribute_batches(sequences, ctx.placement.rows_at_once))
    if batches.missing:
        with start(ctx.placement.layout, rank=ctx.rank, world_size=ctx.world_size, rendezvous=ctx.rendezvous, seed=0):
            model = open_reward_model(folder, ctx.placement.layout)
            batches.compute(
                lambda batch: attributes_of([sequences[row] for row in batch], model, pad_id=tokenizer.pad_id)
            )
    found = batches.results()
    scores = [
        ScoreRow(
            response_id=row.id,
            score=scalar(spec, found[number]) if speaks.get(row.family, spec.gate == 0) else None,
            attributes=dict(zip(ATTRIBUTES, found[number], strict=True)),
        )
        for number, row in enumerate(rows)
    ]
    return Opinion(scores)

"""prefer: preference training on pairs; the reference's log-probabilities are computed once, then kept."""

from collections.abc import Sequence

import torch

from compiler.artifacts import PreferenceRow
from compiler.stages.prefer import Prefer
from runtime import losses
from runtime.context import Context, Facts
from runtime.engine.batch import Batch
from runtime.engine.model import Model
from runtime.engine.objective import LossOutput
from runtime.pairs import Answer, Pairs, pair_logprobs
from runtime.policy import TOKENIZER, write_policy
from runtime.reference import reference_logprobs
from runtime.rows import read_rows
from runtime.tokenizer import ChatTokenizer
from runtime.training import epochs, fit, held_out, joined, to_be_trained


def run(stage: Prefer, ctx: Context) -> Facts:
    """Trains the policy; facts: pairs, tokens, losses, and how far chosen and rejected moved."""
    init = ctx.input(stage.init)
    tokenizer = ChatTokenizer.load(init / TOKENIZER)
    rows = list(read_rows(ctx.input(stage.data), PreferenceRow))
    others = list(read_rows(ctx.input(stage.evaluation.data), PreferenceRow)) if stage.evaluation else []
    loss = losses.find(stage.loss.kind)

    def objective(logprobs_BL: torch.Tensor, batch: Batch) -> LossOutput:
        return loss(stage.loss, pair_logprobs(logprobs_BL, batch))

    with joined(stage, ctx) as world:
        model = to_be_trained(init, stage, ctx)
        steps = epochs(stage, ctx, world, num_rows=len(rows), collate=_pairs(stage, ctx, model, tokenizer, rows).batch)
        rest = _pairs(stage, ctx, model, tokenizer, others[: stage.evaluation.rows] if stage.evaluation else [])
        looking_at = held_out(stage, ctx, world, num_rows=len(others), collate=rest.batch)
        curve = fit(stage, ctx, model, steps, objective, looking_at=looking_at)
        write_policy(model, ctx.output, tokenizer=init / TOKENIZER, main=world.is_main)
    # Pairs of a pair stage name their answers; adopted ones name none.
    synthetic = sum(bool(row.made_from) for row in rows)
    facts = {"rows": len(rows), "rows_synthetic": synthetic, "rows_human": len(rows) - synthetic}
    return {**facts, **curve.seal(ctx.output)} if ctx.rank == 0 else facts


def _pairs(stage: Prefer, ctx: Context, model: Model, tokenizer: ChatTokenizer, rows: Sequence[PreferenceRow]) -> Pairs:
    """The rows as tokens, with what the reference thinks of them; before the first step, while `model` is `init`."""
    answers = [answer for row in rows for answer in _answers(tokenizer, row)]
    rewards = torch.tensor([reward for row in rows for reward in (row.chosen_reward, row.rejected_reward)])
    reference = reference_logprobs(stage, ctx, model, answers, pad_id=tokenizer.pad_id)
    return Pairs(answers, rewards, reference, tokenizer.pad_id)


def _answers(tokenizer: ChatTokenizer, row: PreferenceRow) -> tuple[Answer, Answer]:
    """Chosen and rejected."""
    prompt = tokenizer.encode_prompt(row.messages)
    chosen, rejected = (
        Answer((*prompt, *ids), (0,) * len(prompt) + (1,) * len(ids))
        for ids in (
            tokenizer.answer_ids(row.chosen, row.chosen_ids),
            tokenizer.answer_ids(row.rejected, row.rejected_ids),
        )
    )
    return chosen, rejected

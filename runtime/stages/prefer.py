"""prefer: preference training on pairs; the reference's log-probabilities are computed once, then kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from compiler.artifacts import PreferenceRow
from compiler.stages.prefer import Prefer
from runtime import losses
from runtime.context import Context, Facts
from runtime.engine.batch import Batch, collate
from runtime.engine.logprobs import sequence_logprobs
from runtime.engine.model import Model
from runtime.engine.objective import LossOutput
from runtime.losses.preference import PreferenceLogprobs
from runtime.policy import TOKENIZER, open_policy, write_policy
from runtime.rows import read_rows
from runtime.tokenizer import ChatTokenizer
from runtime.training import epochs, fit, joined


@dataclass(frozen=True)
class _Answer:
    token_ids: tuple[int, ...]
    """Prompt and answer."""
    mask: tuple[int, ...]
    """1 on the answer's tokens."""


def run(stage: Prefer, ctx: Context) -> Facts:
    """Trains the policy; facts: pairs, tokens, losses, and how far chosen and rejected moved."""
    init = ctx.input(stage.init)
    tokenizer = ChatTokenizer.load(init / TOKENIZER)
    rows = list(read_rows(ctx.input(stage.data), PreferenceRow))
    answers = [
        _answer(tokenizer, row, tokenizer.answer_ids(text, ids))
        for row in rows
        for text, ids in ((row.chosen, row.chosen_ids), (row.rejected, row.rejected_ids))
    ]
    rewards = torch.tensor([[row.chosen_reward, row.rejected_reward] for row in rows])
    loss = losses.find(stage.loss.kind)

    def objective(logprobs_BL: torch.Tensor, batch: Batch) -> LossOutput:
        return loss(stage.loss, _gather(logprobs_BL, batch))

    with joined(stage, ctx) as world:
        model = open_policy(init, ctx.placement.layout, stage.precision)
        reference = _reference(stage, ctx, model, answers, tokenizer.pad_id)

        def collate_pairs(pairs: Sequence[int]) -> Batch:
            return _collate(pairs, answers, rewards, reference, tokenizer.pad_id)

        steps = epochs(stage, ctx, world, num_rows=len(rows), collate=collate_pairs)
        curve = fit(stage, ctx, model, steps, objective)
        write_policy(model, ctx.output, tokenizer=init / TOKENIZER, main=world.is_main)
    facts = {"rows": len(rows), "rows_synthetic": len(rows), "rows_human": 0}
    return {**facts, **curve.seal(ctx.output)} if ctx.rank == 0 else facts


def _answer(tokenizer: ChatTokenizer, row: PreferenceRow, answer_ids: Sequence[int]) -> _Answer:
    prompt = tokenizer.encode_prompt(row.messages)
    return _Answer((*prompt, *answer_ids), (0,) * len(prompt) + (1,) * len(answer_ids))


def _reference(stage: Prefer, ctx: Context, policy: Model, answers: Sequence[_Answer], pad_id: int) -> torch.Tensor:
    """log p_ref of each answer, [2 P] in the order chosen, rejected; kept in scratch for a resumed attempt.

    Where the reference is the policy that training starts from, its weights are in memory already.
    """
    kept = ctx.scratch / f"reference-{ctx.rank}.npy"
    if kept.exists():
        return torch.from_numpy(np.load(kept))
    same = ctx.manifest.inputs[stage.reference].fingerprint == ctx.manifest.inputs[stage.init].fingerprint
    model = policy if same else open_policy(ctx.input(stage.reference), ctx.placement.layout, stage.precision)
    order = sorted(range(len(answers)), key=lambda number: (len(answers[number].token_ids), number))
    found = torch.zeros(len(answers))
    for first in range(0, len(order), ctx.placement.rows_at_once):
        numbers = order[first : first + ctx.placement.rows_at_once]
        batch = collate(
            [answers[number].token_ids for number in numbers],
            [answers[number].mask for number in numbers],
            pad_id=pad_id,
        )
        found[numbers] = sequence_logprobs(model, batch).float().cpu()
    _keep(kept, found)
    return found


def _keep(file: Path, values: torch.Tensor) -> None:
    partial = file.with_suffix(".partial.npy")
    np.save(partial, values.numpy())
    partial.rename(file)


def _collate(
    pairs: Sequence[int], answers: Sequence[_Answer], rewards: torch.Tensor, reference: torch.Tensor, pad_id: int
) -> Batch:
    """Rows chosen, rejected, chosen, rejected, ..."""
    numbers = [number for pair in pairs for number in (2 * pair, 2 * pair + 1)]
    return collate(
        [answers[number].token_ids for number in numbers],
        [answers[number].mask for number in numbers],
        pad_id=pad_id,
        extra={"reference": reference[numbers], "rewards": rewards[list(pairs)].reshape(-1)},
    )


def _gather(logprobs_BL: torch.Tensor, batch: Batch) -> PreferenceLogprobs:
    """Sums over answer tokens, split into chosen (even rows) and rejected (odd rows)."""
    policy_B = (logprobs_BL * batch.loss_mask_BL).sum(dim=1)
    lengths_B = batch.loss_mask_BL.sum(dim=1)
    reference_B, rewards_B = batch.extra["reference"], batch.extra["rewards"]
    return PreferenceLogprobs(
        chosen_B=policy_B[0::2],
        rejected_B=policy_B[1::2],
        reference_chosen_B=reference_B[0::2],
        reference_rejected_B=reference_B[1::2],
        chosen_reward_B=rewards_B[0::2],
        rejected_reward_B=rewards_B[1::2],
        chosen_length_B=lengths_B[0::2],
    )

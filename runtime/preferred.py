"""Lessons from pairs: a reward that is higher for the chosen answer, by Bradley and Terry's model.

The reward is the first of the five values, `helpfulness`; the others stay as they were. Shapes: B answers (chosen,
rejected, chosen, ...), P pairs, K attributes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from compiler.artifacts import ATTRIBUTES, PreferenceRow
from compiler.schema.losses import BradleyTerry
from compiler.stages.reward_model import RewardModel
from runtime.context import Context
from runtime.engine.batch import Batch, pack_whole
from runtime.engine.model import Model
from runtime.engine.objective import LossOutput
from runtime.lessons import Lessons, held_out_prompts
from runtime.losses.bradley_terry import bradley_terry, scaled, with_margin
from runtime.losses.regression import UNRATED
from runtime.rewards import attributes
from runtime.rows import read_rows
from runtime.tokenizer import ChatTokenizer

_NOT_TOLD = (UNRATED,) * (len(ATTRIBUTES) - 1)
_TRUE = ((1.0, *_NOT_TOLD), (0.0, *_NOT_TOLD))
"""Of chosen and rejected, as a calibration tells it: what a pair says is which of the two is better."""


@dataclass(frozen=True)
class _Pair:
    prompt_id: str
    family: str
    chosen: tuple[int, ...]
    """Tokens of prompt and answer."""
    rejected: tuple[int, ...]
    margin: float
    """How much higher the chosen answer's given reward is."""


def lessons(stage: RewardModel, ctx: Context, tokenizer: ChatTokenizer) -> Lessons:
    """Of `preferences`."""
    assert stage.preferences is not None
    pairs = [_pair(row, tokenizer) for row in read_rows(ctx.input(stage.preferences), PreferenceRow)]
    held_out = held_out_prompts((pair.prompt_id for pair in pairs), stage.held_out)
    training = [pair for pair in pairs if pair.prompt_id not in held_out]
    unseen = [pair for pair in pairs if pair.prompt_id in held_out]
    assert isinstance(stage.loss, BradleyTerry)
    margin = stage.loss.margin

    def collate(numbers: Sequence[int]) -> Batch:
        wanted = [training[number] for number in numbers]
        margins = torch.tensor([pair.margin for pair in wanted for _ in range(2)])
        return pack_whole(_sequences(wanted), group=2, pad_id=tokenizer.pad_id, extra={"margins": margins})

    def objective(values_BK: torch.Tensor, batch: Batch) -> LossOutput:
        return loss(values_BK, batch, margin)

    def calibrate(model: Model) -> Mapping[str, Any]:
        predicted = attributes(
            model, _sequences(unseen), pad_id=tokenizer.pad_id, rows_at_once=ctx.placement.rows_at_once
        )
        return {
            "mse": None,
            "pairs": [
                {"family": pair.family, "true": _TRUE, "predicted": [chosen, rejected]}
                for pair, chosen, rejected in zip(unseen, predicted[0::2], predicted[1::2], strict=True)
            ],
        }

    return Lessons(len(training), len(unseen), 1, collate, objective, calibrate)


def loss(values_BK: torch.Tensor, batch: Batch, margin: str) -> LossOutput:
    """The pairs' losses; metrics: how many are in the right order, and by how much the chosen reward is higher."""
    chosen_P, rejected_P = values_BK[0::2, 0], values_BK[1::2, 0]
    margin_P = batch.extra["margins"][0::2]
    match margin:
        case "subtracted":
            losses_P = with_margin(chosen_P, rejected_P, margin_P)
        case "scaled":
            losses_P = scaled(chosen_P, rejected_P, margin_P)
        case _:
            losses_P = bradley_terry(chosen_P, rejected_P)
    gap_P = (chosen_P - rejected_P).detach()
    metrics = {"accuracy": (gap_P > 0).float().sum(), "reward_gap": gap_P.sum()}
    return LossOutput(loss_sum=losses_P.sum(), weight=float(len(losses_P)), metrics=metrics)


def _pair(row: PreferenceRow, tokenizer: ChatTokenizer) -> _Pair:
    prompt = tokenizer.encode_prompt(row.messages)
    return _Pair(
        row.prompt_id,
        row.family,
        (*prompt, *tokenizer.answer_ids(row.chosen, row.chosen_ids)),
        (*prompt, *tokenizer.answer_ids(row.rejected, row.rejected_ids)),
        row.chosen_reward - row.rejected_reward,
    )


def _sequences(pairs: Sequence[_Pair]) -> list[tuple[int, ...]]:
    return [answer for pair in pairs for answer in (pair.chosen, pair.rejected)]

"""Lessons from answers with attributes: regression and, if it is wanted, the order of two answers to one prompt."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any

import torch

from compiler.artifacts import ATTRIBUTES, RatingRow, ResponseRow, ScoreRow
from compiler.schema.losses import Regression
from compiler.stages.reward_model import RewardModel
from runtime.context import Context
from runtime.engine.batch import Batch, pack_whole
from runtime.engine.model import Model
from runtime.engine.objective import LossOutput
from runtime.lessons import Lessons, held_out_prompts
from runtime.losses.bradley_terry import bradley_terry
from runtime.losses.regression import UNRATED, regression
from runtime.rewards import attributes
from runtime.rows import read_rows
from runtime.tokenizer import ChatTokenizer


@dataclass(frozen=True)
class _Example:
    prompt_id: str
    family: str
    token_ids: tuple[int, ...]
    targets: tuple[float, ...]
    """In the order of ATTRIBUTES; UNRATED where nobody gave one."""


def lessons(stage: RewardModel, ctx: Context, tokenizer: ChatTokenizer) -> Lessons:
    """Of `ratings`, or of `responses` with their `scores`."""
    examples = _examples(stage, ctx, tokenizer)
    held_out = held_out_prompts((row.prompt_id for row in examples), stage.held_out)
    training = [row for row in examples if row.prompt_id not in held_out]
    unseen = [row for row in examples if row.prompt_id in held_out]
    pairs = _adjacent_pairs(training)
    pair_weight = stage.loss.bradley_terry_weight if isinstance(stage.loss, Regression) else 0.0

    def collate(numbers: Sequence[int]) -> Batch:
        return _collate([row for number in numbers for row in pairs[number]], tokenizer.pad_id)

    def objective(values_BK: torch.Tensor, batch: Batch) -> LossOutput:
        return loss(values_BK, batch, pair_weight)

    def calibrate(model: Model) -> Mapping[str, Any]:
        return _calibrate(model, unseen, tokenizer.pad_id, ctx.placement.rows_at_once)

    return Lessons(len(training), len(unseen), 2, collate, objective, calibrate)


def _examples(stage: RewardModel, ctx: Context, tokenizer: ChatTokenizer) -> list[_Example]:
    """An attribute that nobody gave stays UNRATED; a response without any has nothing to teach, and is an error."""
    examples = []
    for row, answer_ids, given in _rated_answers(stage, ctx, tokenizer):
        if not given:
            raise ValueError(f"response {row.id} has none of the attributes {', '.join(ATTRIBUTES)}")
        ids = (*tokenizer.encode_prompt(row.messages), *answer_ids)
        targets = tuple(given.get(name, UNRATED) for name in ATTRIBUTES)
        examples.append(_Example(row.prompt_id, row.family, ids, targets))
    return examples


def _rated_answers(
    stage: RewardModel, ctx: Context, tokenizer: ChatTokenizer
) -> Iterator[tuple[RatingRow | ResponseRow, Sequence[int], Mapping[str, float]]]:
    """(row, tokens of its answer, its attributes)"""
    if stage.ratings is not None:
        for rating in read_rows(ctx.input(stage.ratings), RatingRow):
            yield rating, tokenizer.encode_answer(rating.response), rating.attributes
        return
    assert stage.responses is not None
    assert stage.scores is not None
    scores = {row.response_id: row for row in read_rows(ctx.input(stage.scores), ScoreRow)}
    for row in read_rows(ctx.input(stage.responses), ResponseRow):
        yield row, tokenizer.answer_ids(row.response, row.response_ids), scores[row.id].attributes


def _adjacent_pairs(examples: Sequence[_Example]) -> list[tuple[_Example, _Example]]:
    """Each response with a neighbour, of the same prompt where it can be: batches are made of whole pairs."""
    in_order = sorted(range(len(examples)), key=lambda row: (examples[row].prompt_id, row))
    paired = in_order if len(in_order) % 2 == 0 else [*in_order, in_order[0]]
    return [(examples[one], examples[other]) for one, other in zip(paired[::2], paired[1::2], strict=True)]


def _collate(rows: Sequence[_Example], pad_id: int) -> Batch:
    names = [row.prompt_id for row in rows]
    same = [float(names[place] == names[place ^ 1]) for place in range(len(names))]
    return pack_whole(
        [row.token_ids for row in rows],
        group=2,
        pad_id=pad_id,
        extra={"targets": torch.tensor([row.targets for row in rows]), "same_prompt": torch.tensor(same)},
    )


def loss(values_BK: torch.Tensor, batch: Batch, pair_weight: float) -> LossOutput:
    """Squared error of the rated attributes; with a weight, Bradley-Terry over pairs of one prompt, on helpfulness, or
    on correctness where helpfulness is not rated."""
    targets_BK = batch.extra["targets"]
    errors_B = regression(values_BK, targets_BK)
    loss = errors_B.sum()
    metrics = {"squared_error": errors_B.sum().detach()}
    if pair_weight:
        rated_PK = (targets_BK[0::2] != UNRATED) & (targets_BK[1::2] != UNRATED)
        leading_P = torch.where(rated_PK[:, 0], 0, 1)[:, None]
        gaps_PK, true_PK = (values[0::2] - values[1::2] for values in (values_BK, targets_BK))
        gap_P = gaps_PK.gather(1, leading_P)[:, 0]
        sign_P = torch.sign((true_PK * rated_PK).gather(1, leading_P)[:, 0]) * batch.extra["same_prompt"][0::2]
        # Pairs that are equally good, or of two prompts, have sign 0 and teach nothing here.
        pair_losses_P = bradley_terry(gap_P * sign_P, torch.zeros_like(gap_P)) * sign_P.abs()
        loss = loss + pair_weight * 2 * pair_losses_P.sum()
    return LossOutput(loss_sum=loss, weight=float(len(values_BK)), metrics=metrics)


def _calibrate(model: Model, examples: Sequence[_Example], pad_id: int, rows_at_once: int) -> dict[str, Any]:
    predicted = attributes(model, [row.token_ids for row in examples], pad_id=pad_id, rows_at_once=rows_at_once)
    by_prompt: dict[str, list[int]] = {}
    for number, row in enumerate(examples):
        by_prompt.setdefault(row.prompt_id, []).append(number)
    pairs = [
        {
            "family": examples[one].family,
            "true": [examples[one].targets, examples[other].targets],
            "predicted": [predicted[one], predicted[other]],
        }
        for rows in by_prompt.values()
        for one, other in combinations(rows, 2)
        if examples[one].targets != examples[other].targets and _rated(examples[one]) == _rated(examples[other])
    ]
    errors = [
        fmean((true - value) ** 2 for true, value in zip(row.targets, numbers, strict=True) if true != UNRATED)
        for row, numbers in zip(examples, predicted, strict=True)
    ]
    return {"mse": sum(errors) / max(1, len(errors)), "pairs": pairs}


def _rated(example: _Example) -> list[bool]:
    return [target != UNRATED for target in example.targets]

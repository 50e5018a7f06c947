"""A reward model at work: attributes of responses, and the scalar that a judge makes of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from compiler.artifacts import ATTRIBUTES
from compiler.schema.judges import Attribute, RewardModelJudge
from compiler.schema.model import Layout
from runtime.engine.batch import pack_whole
from runtime.engine.generate import plan_batches
from runtime.engine.logprobs import values
from runtime.engine.model import Model, Regression
from runtime.policy import answering_precision, open_policy

CALIBRATION = "calibration.json"
HEAD = Regression(len(ATTRIBUTES))


def open_reward_model(folder: Path, layout: Layout) -> Model:
    """The reward model of this artifact, ready to be asked."""
    return open_policy(folder, layout, answering_precision(folder), head=HEAD)


def attributes(
    model: Model, sequences: Sequence[Sequence[int]], *, pad_id: int, rows_at_once: int
) -> list[tuple[float, ...]]:
    """The five attributes of each sequence (prompt and answer), raw: neither clipped nor rounded.

    Sequences are batched by length, which is why the order of asking does not matter but is restored at the end.
    """
    found: dict[int, tuple[float, ...]] = {}
    for rows in attribute_batches(sequences, rows_at_once):
        found.update(zip(rows, attributes_of([sequences[row] for row in rows], model, pad_id=pad_id), strict=True))
    return [found[row] for row in range(len(sequences))]


def attribute_batches(sequences: Sequence[Sequence[int]], rows_at_once: int) -> list[list[int]]:
    """Which sequences are asked about together: those of like length. A function of the lengths alone."""
    return plan_batches([len(sequence) for sequence in sequences], batch_size=rows_at_once)


def attributes_of(batch: Sequence[Sequence[int]], model: Model, *, pad_id: int) -> list[tuple[float, ...]]:
    """The attributes of one batch of sequences."""
    values_BK = values(model, pack_whole(batch, pad_id=pad_id))
    return [tuple(numbers) for numbers in values_BK.double().tolist()]


def scalar(judge: RewardModelJudge, numbers: Sequence[float]) -> float:
    """r = sum_k w_k * attribute_k, as the Nemotron-4 340B reward card recommends."""
    by_name = dict(zip(ATTRIBUTES, numbers, strict=True))
    return sum(weight * by_name[name] for name, weight in judge.weights.items())


def speaking_families(judge: RewardModelJudge, folder: Path) -> Mapping[str, bool]:
    """Family -> whether the reward model's held-out pair accuracy, under this judge's weights, reaches the gate."""
    return {family: accuracy >= judge.gate for family, (accuracy, _) in pair_accuracy(judge.weights, folder).items()}


def pair_accuracy(weights: Mapping[Attribute, float], folder: Path) -> dict[str, tuple[float, int]]:
    """Family -> (share of held-out pairs in the right order under these weights, number of pairs).

    A pair is right when the response whose true scalar is higher also has the higher predicted one.
    """
    right: dict[str, list[bool]] = {}
    for pair in json.loads((folder / CALIBRATION).read_text(encoding="utf-8"))["pairs"]:
        true_gap = _gap(weights, pair["true"])
        if true_gap != 0:
            right.setdefault(pair["family"], []).append(true_gap * _gap(weights, pair["predicted"]) > 0)
    return {family: (sum(hits) / len(hits), len(hits)) for family, hits in sorted(right.items())}


def _gap(weights: Mapping[Attribute, float], pair: Sequence[Sequence[float]]) -> float:
    first, second = (dict(zip(ATTRIBUTES, numbers, strict=True)) for numbers in pair)
    return sum(weight * (first[name] - second[name]) for name, weight in weights.items())

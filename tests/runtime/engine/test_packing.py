"""Packed and shared: what a sequence gets must not depend on what lies beside it, nor on who owns its prompt."""

from dataclasses import replace

import pytest
import torch
from engine_cases import BF16, FP32, LLAMA, NEMOTRON, make, perturb

from compiler.schema.model import Precision
from runtime.engine.batch import Batch, collate, collate_whole, pack, pack_whole
from runtime.engine.logprobs import batch_logprobs, forward, pick, sequence_logprobs, values
from runtime.engine.model import Model, Regression

SPEC = NEMOTRON.model_copy(update={"seq_length": 256})


def pairs(*, prompts: tuple[int, ...] = (9, 3, 40, 150, 1), seed: int = 5) -> tuple[list[list[int]], list[list[int]]]:
    """Two answers to each prompt, of different lengths, and masks of the answers. The first two begin alike."""
    generator = torch.Generator().manual_seed(seed)
    rows, masks = [], []
    for number, length in enumerate(prompts):
        prompt = torch.randint(1, 96, (length,), generator=generator).tolist()
        for answer in (4 + number, 11):
            words = torch.randint(1, 96, (answer,), generator=generator).tolist()
            words = [7, 8, *words] if number == 0 else words
            rows.append([*prompt, *words])
            masks.append([0] * len(prompt) + [1] * len(words))
    return rows, masks


def gradients(model: Model, batch: Batch) -> dict[str, torch.Tensor]:
    """Of a sum in which every sequence has a weight of its own."""
    (chunk,) = model.chunks
    chunk.zero_grad()
    totals = batch.totals(pick(model, forward(model, chunk, batch), batch))
    (totals * torch.arange(1, len(totals) + 1)).sum().backward()
    return {name: parameter.grad for name, parameter in chunk.named_parameters()}


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("spec", [SPEC, LLAMA.model_copy(update={"seq_length": 256})], ids=["nemotron", "llama"])
def test_packed_sequences_have_the_logprobs_that_they_have_alone(spec: object, group: int) -> None:
    model = perturb(make(spec))
    rows, masks = pairs()
    together = sequence_logprobs(model, pack(rows, masks, group=group))
    alone = [sequence_logprobs(model, collate([row], [mask]))[0] for row, mask in zip(rows, masks, strict=True)]
    assert together.tolist() == pytest.approx([float(one) for one in alone], abs=2e-4)


@pytest.mark.parametrize("group", [1, 2])
def test_packing_changes_no_gradient(group: int) -> None:
    """Of a shared prompt the gradients through both answers must be there."""
    model = perturb(make(SPEC))
    rows, masks = pairs()
    packed, padded = gradients(model, pack(rows, masks, group=group)), gradients(model, collate(rows, masks))
    for name, gradient in padded.items():
        assert torch.allclose(packed[name], gradient, atol=2e-4 * float(gradient.abs().max())), name


def test_a_neighbour_changes_nothing() -> None:
    model = perturb(make(SPEC))
    rows, masks = pairs()
    before = sequence_logprobs(model, pack(rows, masks, group=2))
    rows[5] = [*rows[5][:-6], *(token % 90 + 1 for token in rows[5][-6:])]  # the rejected answer to the third prompt
    after = sequence_logprobs(model, pack(rows, masks, group=2))
    changed = [place for place in range(len(rows)) if abs(float(after[place] - before[place])) > 1e-4]
    assert changed == [5]


def test_prompts_that_are_shared_stand_once() -> None:
    rows, masks = pairs()
    shared, apart = pack(rows, masks, group=2, multiple=1), pack(rows, masks, multiple=1)
    # The last token of a prompt stays with each answer: it has another label under each.
    assert apart.tokens_BL.numel() == sum(len(row) - 1 for row in rows)
    assert shared.tokens_BL.numel() == apart.tokens_BL.numel() - (8 + 2 + 39 + 149 + 0)
    assert torch.equal(shared.extra["lengths"], apart.extra["lengths"])
    # Answers that begin alike are learnt twice: sharing ends where learning begins.
    assert shared.loss_mask_BL.sum() == apart.loss_mask_BL.sum() == sum(sum(mask) for mask in masks)


def test_a_prompt_learnt_in_one_row_only_is_not_shared() -> None:
    rows = [[5, 6, 7, 8], [5, 6, 7, 9]]
    assert pack(rows, [[0, 0, 1, 1], [0, 0, 0, 1]], group=2, multiple=1).tokens_BL.tolist() == [[5, 6, 7, 6, 7]]
    assert pack(rows, None, group=2, multiple=1).tokens_BL.tolist() == [[5, 6, 7, 5, 6, 7]]


def test_regression_values_are_read_at_the_last_token_of_each_sequence() -> None:
    model = perturb(make(LLAMA, head=Regression(5)))
    rows = [[1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 5], [7, 8, 9, 10, 11], [7, 8, 9], [4]]
    assert torch.allclose(values(model, pack_whole(rows, group=2)), values(model, collate_whole(rows)), atol=1e-5)


@pytest.mark.parametrize("precision", [FP32, BF16], ids=lambda precision: precision.dtype)
def test_labels_that_do_not_count_cost_nothing_and_change_nothing(precision: Precision) -> None:
    model = perturb(make(SPEC, precision))
    rows, masks = pairs()
    some = collate(rows, masks)
    whole = replace(some, loss_mask_BL=torch.ones_like(some.loss_mask_BL))
    found, expected = batch_logprobs(model, some), batch_logprobs(model, whole)
    assert not found[some.loss_mask_BL == 0].any()
    tolerance = 1e-5 if precision == FP32 else 0.05
    assert torch.allclose(found, expected * some.loss_mask_BL, atol=tolerance)

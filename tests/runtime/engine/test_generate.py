import numpy as np
import pytest
import torch
from engine_cases import BIASED, LLAMA, NEMOTRON, make, perturb, weights
from plain_torch import from_megatron

from runtime.engine.generate import Completion, generate, plan_batches, sample
from runtime.engine.model import Model

END = 1
SHARP = {"nemotron": NEMOTRON, "llama": LLAMA, "biased": BIASED}


def prompts(num: int = 20) -> list[list[int]]:
    random = np.random.default_rng(0)
    return [random.integers(2, 96, size=random.integers(1, 18)).tolist() for _ in range(num)]


def sharp(name: str = "nemotron") -> Model:
    """With larger weights the greedy path is clear of ties."""
    model = perturb(make(SHARP[name]))
    for weight in weights(model).values():
        weight *= 3 if weight.dim() > 1 else 1
    return model


def by_row(completions: object) -> dict[int, Completion]:
    return {completion.index: completion for completion in completions}


def uniforms(row: int) -> np.ndarray:
    return np.random.default_rng(row).random(12)


@pytest.mark.parametrize("name", SHARP)
def test_greedy_with_a_cache_is_greedy_without(name: str) -> None:
    """Against the plain model, one row at a time: covers the cache, left padding, and rows taken out when done."""
    model = sharp(name)
    plain = from_megatron(model.spec, weights(model))
    found = by_row(generate(model, prompts(), max_new_tokens=12, end_id=END, batch_size=7))
    assert sorted(found) == list(range(20))
    for row, prompt in enumerate(prompts()):
        ids, total = list(prompt), 0.0
        with torch.no_grad():
            while len(ids) < len(prompt) + 12:
                logits = plain(torch.tensor([ids]))[0, -1]
                token = int(logits.argmax())
                total += float(logits.log_softmax(-1)[token])
                if token == END:
                    break
                ids.append(token)
        assert found[row].token_ids == tuple(ids[len(prompt) :])
        assert found[row].finished == (token == END)
        assert found[row].logprob == pytest.approx(total, abs=1e-3)


def test_some_rows_end_early_in_these_tests() -> None:
    lengths = {len(row.token_ids) for row in generate(sharp(), prompts(200), max_new_tokens=12, end_id=END)}
    assert len(lengths) > 3


@pytest.mark.parametrize("top_p", [1.0, 0.8])
def test_a_sampled_row_does_not_depend_on_its_neighbours(top_p: float) -> None:
    model = make()
    arguments = {"max_new_tokens": 12, "end_id": END, "temperature": 1.0, "top_p": top_p, "uniforms": uniforms}
    together = by_row(generate(model, prompts(), batch_size=20, **arguments))
    apart = by_row(generate(model, prompts(), batch_size=3, **arguments))
    assert {row: one.token_ids for row, one in together.items()} == {row: one.token_ids for row, one in apart.items()}


def test_samples_of_one_prompt_are_what_each_is_alone() -> None:
    """They read the prompt once; lengths differ, so that padding is shared too."""
    model = sharp()
    rows = [prompt for prompt in prompts(6) for _ in range(4)]
    together = by_row(generate(model, rows, max_new_tokens=12, end_id=END, temperature=1.0, uniforms=uniforms))
    assert len({together[row].token_ids for row in range(4)}) > 1
    for row, prompt in enumerate(rows):
        numbers = uniforms(row)
        (alone,) = generate(
            model, [prompt], max_new_tokens=12, end_id=END, temperature=1.0, uniforms=lambda _, numbers=numbers: numbers
        )
        assert together[row].token_ids == alone.token_ids
        assert together[row].logprob == pytest.approx(alone.logprob, abs=1e-3)


def test_rows_that_are_done_are_not_yielded_and_the_others_keep_their_bits() -> None:
    model = make()
    arguments = {
        "max_new_tokens": 12,
        "end_id": END,
        "temperature": 0.7,
        "top_p": 0.9,
        "uniforms": uniforms,
        "batch_size": 6,
    }
    whole = list(generate(model, prompts(), **arguments))
    done = {completion.index for completion in whole[:9]}
    assert list(generate(model, prompts(), done=done, **arguments)) == whole[9:]


def test_sampling_follows_the_distribution() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -5.0]).repeat(20_000, 1)
    uniform = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    counts = torch.bincount(sample(logits, uniform, temperature=0.5, top_p=1.0), minlength=5) / 20_000
    assert torch.allclose(counts, (logits[0] / 0.5).softmax(-1), atol=1e-3)
    # The nucleus of 0.9 at temperature 1 is the first three (0.64 + 0.24 + 0.09), and keeps their proportions.
    counts = torch.bincount(sample(logits, uniform, temperature=1.0, top_p=0.9), minlength=5) / 20_000
    expected = logits[0].softmax(-1) * torch.tensor([1, 1, 1, 0, 0])
    assert torch.allclose(counts, expected / expected.sum(), atol=1e-3)


def test_a_nucleus_wider_than_the_first_candidates_is_sorted_whole() -> None:
    torch.manual_seed(0)
    logits = torch.randn(50, 3000) * 0.1
    for top_p in (0.01, 0.2, 0.5, 0.99):
        found = sample(logits, torch.linspace(0, 0.999, 50, dtype=torch.float64), temperature=1.0, top_p=top_p)
        probabilities, order = logits.softmax(-1).sort(dim=-1, descending=True)
        inside = (probabilities.cumsum(-1) - probabilities) < top_p
        for row, token in enumerate(found.tolist()):
            assert token in order[row][inside[row]].tolist()


def test_a_token_without_mass_is_never_taken() -> None:
    logits = torch.tensor([[float("-inf"), 0.0, float("-inf"), 0.0]])
    for uniform, token in ((0.0, 1), (0.49, 1), (0.51, 3), (1 - 1e-16, 3)):
        assert sample(logits, torch.tensor([uniform], dtype=torch.float64), temperature=1.0, top_p=1.0) == token


def test_rows_stop_where_the_sequence_is_full() -> None:
    model = make()
    full = NEMOTRON.seq_length
    found = by_row(generate(model, [[5] * (full - 3), [5] * 4], max_new_tokens=10, end_id=-1))
    assert [len(found[row].token_ids) for row in (0, 1)] == [3, 10]
    assert not found[0].finished
    with pytest.raises(ValueError, match="prompt 0"):
        list(generate(model, [[5] * full], max_new_tokens=1, end_id=END))


def test_batches_are_rows_of_like_length_in_a_fixed_order() -> None:
    assert plan_batches([5, 1, 5, 3, 1], batch_size=2) == [[1, 4], [3, 0], [2]]

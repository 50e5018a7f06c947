"""Continuous batching says what every row says alone, whoever joins and leaves meanwhile."""

from collections.abc import Sequence

import numpy as np
import pytest
from engine_cases import BIASED, LLAMA, NEMOTRON, make, perturb, weights

from runtime.engine import batching
from runtime.engine.batching import ContinuousBatch, Row, Token
from runtime.engine.generate import Completion, generate
from runtime.engine.model import Model

END = 1
SPECS = {"nemotron": NEMOTRON, "llama": LLAMA, "biased": BIASED}


def sharp(name: str) -> Model:
    """With larger weights the greedy path is clear of ties."""
    model = perturb(make(SPECS[name]))
    for weight in weights(model).values():
        weight *= 3 if weight.dim() > 1 else 1
    return model


def prompts(count: int) -> list[list[int]]:
    random = np.random.default_rng(3)
    return [random.integers(2, 96, size=random.integers(1, 12)).tolist() for _ in range(count)]


def uniforms(number: int) -> np.ndarray:
    return np.random.default_rng(number).random(12)


def rows(count: int, temperature: float) -> list[Row]:
    return [
        Row(prompt, 12, (END,), temperature, 0.9, uniforms(number), top=number % 3)
        for number, prompt in enumerate(prompts(count))
    ]


def alone(model: Model, count: int, temperature: float) -> list[Completion]:
    found = generate(
        model, prompts(count), max_new_tokens=12, end_id=END, temperature=temperature, top_p=0.9, uniforms=uniforms
    )
    return sorted(found, key=lambda completion: completion.index)


def run(batch: ContinuousBatch, arrivals: Sequence[Sequence[Row]]) -> dict[int, list[Token]]:
    """Adds each group of rows one step after the one before; tokens by name."""
    said: dict[int, list[Token]] = {}
    coming = list(arrivals)
    while coming or len(batch):
        for row in coming.pop(0) if coming else []:
            said[batch.add(row)] = []
        for token in batch.step():
            said[token.row].append(token)
    return said


@pytest.mark.parametrize(("temperature", "lean"), [(0.0, True), (1.0, True), (0.0, False)])
@pytest.mark.parametrize("name", SPECS)
def test_rows_that_join_a_running_batch_say_what_they_say_alone(
    name: str, temperature: float, lean: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not lean:  # as on a GPU
        monkeypatch.setattr(batching, "can_decode", lambda _: False)
    model = sharp(name) if temperature == 0 else make(SPECS[name])
    all_rows = rows(30, temperature)
    arrivals = [all_rows[:1], [], all_rows[1:9], [], [], all_rows[9:10], all_rows[10:]]
    said = run(ContinuousBatch(model, slots=7), arrivals)
    for tokens, expected in zip(said.values(), alone(model, 30, temperature), strict=True):
        ids = [token.token_id for token in tokens]
        assert tuple(ids) == (*expected.token_ids, *([END] if expected.finished else []))
        assert sum(token.logprob for token in tokens) == pytest.approx(expected.logprob, abs=1e-3)
        assert [token.last for token in tokens] == [False] * (len(tokens) - 1) + [True]


def test_the_likeliest_tokens_are_told_as_often_as_asked() -> None:
    said = run(ContinuousBatch(sharp("llama"), slots=4), [rows(9, 0.0)])
    for number, tokens in enumerate(said.values()):
        for token in tokens:
            assert len(token.top) == number % 3
            assert list(token.top) == sorted(token.top, key=lambda pair: -pair[1])
            if token.top:  # greedy: what was said is the likeliest
                assert token.top[0] == (token.token_id, pytest.approx(token.logprob, abs=1e-5))


def test_a_row_that_is_dropped_frees_its_slot_and_leaves_the_others_alone() -> None:
    model = sharp("nemotron")
    batch = ContinuousBatch(model, slots=3)
    names = [batch.add(row) for row in rows(6, 0.0)]
    said: dict[int, list[int]] = {name: [] for name in names}
    for step in range(60):
        for token in batch.step():
            said[token.row].append(token.token_id)
        if step == 1:
            batch.drop(names[0])
            batch.drop(names[5])
            batch.drop(names[5])
    assert len(batch) == 0 and not said[names[5]]
    for number in range(1, 5):
        expected = alone(model, 6, 0.0)[number]
        assert tuple(said[names[number]]) == (*expected.token_ids, *([END] if expected.finished else []))


def test_what_can_never_fit_is_refused() -> None:
    batch = ContinuousBatch(make(NEMOTRON), slots=2)
    room = NEMOTRON.seq_length
    batch.add(Row([5] * (room - 4), 4, (END,), 0.0, 1.0, uniforms(0)))
    with pytest.raises(ValueError, match=str(room)):
        batch.add(Row([5] * (room - 4), 5, (END,), 0.0, 1.0, uniforms(0)))
    with pytest.raises(ValueError):
        batch.add(Row([], 5, (END,), 0.0, 1.0, uniforms(0)))
    while len(batch):
        batch.step()

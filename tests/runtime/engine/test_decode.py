"""Written tokens by the lean path of one CPU against Megatron's own modules."""

import pytest
import torch
from engine_cases import ADAM, BF16, BIASED, FP32, LLAMA, NEMOTRON, batches, make, perturb
from engine_recipes import TENSORWISE, in_fp8

import runtime.engine.generate as generation
from compiler.schema.model import ModelSpec, Precision
from runtime.engine.decode import can_decode
from runtime.engine.generate import Completion, generate
from runtime.engine.loop import train
from runtime.engine.model import Model
from runtime.engine.objective import next_token

SHAPES = {
    "half of the channels rotated, grouped, squared relu": NEMOTRON,
    "llama": LLAMA,
    "biases everywhere": BIASED,
    "norms of queries and keys": LLAMA.model_copy(update={"qk_norm": True}),
    "biases of queries, keys and values": LLAMA.model_copy(update={"qkv_bias": True}),
    "geglu": NEMOTRON.model_copy(update={"activation": "geglu"}),
    "llama 3's angles": LLAMA.model_copy(update={"rotary_scaling": 8.0}),
}
PROMPTS = [[3, 4, 5], [7, 8, 9, 10, 11], [12, 3]]


def written(model: Model) -> list[Completion]:
    return list(generate(model, PROMPTS, max_new_tokens=12, end_id=-1))


@pytest.mark.parametrize("precision", [FP32, BF16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("spec", SHAPES.values(), ids=SHAPES)
def test_tokens_and_their_probabilities_are_those_of_megatron_s_modules(
    spec: ModelSpec, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = perturb(make(spec, precision))
    assert can_decode(model)
    lean = written(model)
    monkeypatch.setattr(generation, "can_decode", lambda _: False)
    for one, other in zip(lean, written(model), strict=True):
        assert one.token_ids == other.token_ids
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4 if precision is FP32 else 0.3)


def test_a_model_that_has_learnt_writes_what_it_has_learnt() -> None:
    model = make(LLAMA)
    before = written(model)
    train(
        model,
        ADAM,
        num_steps=3,
        learning_rate=lambda step: 0.03,
        micro_batches=batches,
        objective=next_token,
    )
    assert [one.logprob for one in written(model)] != [one.logprob for one in before]


def test_what_is_rounded_is_left_to_the_layers_that_round() -> None:
    assert not can_decode(make(NEMOTRON, in_fp8(TENSORWISE)))
    assert can_decode(make(NEMOTRON)) == (not torch.cuda.is_available())

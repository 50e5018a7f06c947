"""Answering on GPUs: published throughputs, floors that no GPU can beat, memory in closed form, what does not fit."""

from dataclasses import replace
from pathlib import Path

import pytest

from compiler.errors import SpecError
from compiler.pipeline import compile_plan
from compiler.plan import PlannedStage
from compiler.planning.generation import DECODE, Answering, answering_memory, answering_time
from compiler.planning.hardware import GPUS
from compiler.planning.parameters import count_parameters
from compiler.schema.model import Layout, ModelSpec

SPECS = Path(__file__).parents[3] / "specs" / "experiments"
COMPILED_HOST = replace(DECODE, host_layer_s=0.0)


def llama(layers: int, hidden: int, ffn: int, heads: int, groups: int) -> ModelSpec:
    return ModelSpec(
        num_layers=layers, hidden_size=hidden, ffn_hidden_size=ffn, num_attention_heads=heads, num_query_groups=groups,
        vocab_size=32_000, seq_length=4096, activation="swiglu", normalization="rmsnorm", norm_epsilon=1e-5,
        rotary_percent=1.0, rotary_base=10_000, linear_bias=False, tie_embeddings=False, init_std=0.02,
    )  # fmt: skip


LLAMA_7B, LLAMA_70B = llama(32, 4096, 11_008, 32, 32), llama(80, 8192, 28_672, 64, 8)
NEMOTRON = ModelSpec(
    num_layers=96, hidden_size=18_432, ffn_hidden_size=73_728, num_attention_heads=96, num_query_groups=8,
    vocab_size=256_000, seq_length=4096, activation="squared_relu", normalization="layernorm1p", norm_epsilon=1e-5,
    rotary_percent=0.5, rotary_base=10_000, linear_bias=False, tie_embeddings=False, init_std=0.0063,
)  # fmt: skip
ASKED = Answering(
    NEMOTRON, Layout(tp=8, pp=2), GPUS["H100"], requests=2560, rows=256, prompt_tokens=80, new_tokens=512, longest=1024
)


@pytest.mark.parametrize(
    ("gpu", "model", "tp", "rows", "prompt", "new", "tokens_per_s"),
    [
        ("H100", LLAMA_7B, 1, 64, 128, 128, 9193),
        ("H100", LLAMA_7B, 1, 64, 128, 2048, 5367),
        ("H100", LLAMA_7B, 1, 64, 2048, 128, 2058),
        ("A100", LLAMA_7B, 1, 32, 128, 2048, 1459),
        ("A100", LLAMA_7B, 1, 16, 2048, 2048, 592),
        ("H100", LLAMA_70B, 4, 64, 128, 2048, 2616),
        ("H100", LLAMA_70B, 4, 64, 2048, 128, 843),
    ],
)  # fmt: skip
def test_published_throughputs_of_static_batches_within_fifteen_percent(
    gpu: str, model: ModelSpec, tp: int, rows: int, prompt: int, new: int, tokens_per_s: float
) -> None:
    # NVIDIA/TensorRT-LLM v0.5, docs/source/performance.md: FP8 on H100, FP16 on A100; its host code is compiled, and
    # its kernels of then read a key once for each query head.
    fp8 = gpu == "H100"
    asked = Answering(
        model, Layout(tp=tp), GPUS[gpu], requests=rows, rows=rows, prompt_tokens=prompt, new_tokens=new, longest=new,
        dtype_bytes=1 if fp8 else 2, fp8=fp8, cache_reads=model.num_attention_heads / model.num_query_groups,
    )  # fmt: skip
    assert rows * new / answering_time(asked, COMPILED_HOST).seconds == pytest.approx(tokens_per_s, rel=0.15)


def test_no_token_comes_faster_than_its_weights_can_be_read() -> None:
    one = replace(ASKED, layout=Layout(tp=8), requests=1, rows=1, prompt_tokens=1, new_tokens=1000, longest=1000)
    floor = 1000 * 2 * (count_parameters(NEMOTRON).total - NEMOTRON.vocab_size * NEMOTRON.hidden_size) / 8 / 3.35e12
    assert floor < answering_time(one, COMPILED_HOST).seconds < 2 * floor


def test_the_time_of_all_requests_is_that_of_their_batches() -> None:
    once = answering_time(ASKED).seconds
    assert answering_time(replace(ASKED, requests=2 * ASKED.requests)).seconds == pytest.approx(2 * once)
    # More rows share each reading of the weights.
    assert answering_time(replace(ASKED, rows=512)).seconds < once < answering_time(replace(ASKED, rows=64)).seconds


def test_a_row_of_n_tokens_reads_what_stood_before_each_of_them() -> None:
    # sum over t < n of (prompt + t) cached tokens, at the bandwidth.
    asked = replace(ASKED, requests=1, rows=1, prompt_tokens=100, new_tokens=400, longest=400)
    read = sum(100 + t for t in range(400)) * 2 * 8 / 8 * 192 * 96 / 2 * 2
    expected = read / (3.35e12 * DECODE.bandwidth)
    assert answering_time(asked).cache == pytest.approx(expected, rel=0.01)


def test_scoring_only_reads() -> None:
    scored = answering_time(replace(ASKED, new_tokens=0, longest=0))
    assert scored.reading == scored.seconds > 0


def test_memory_is_weights_and_a_cache_of_589_824_bytes_a_token() -> None:
    memory = answering_memory(ASKED)
    assert memory.cache == pytest.approx(256 * (80 + 1024) * 589_824 / 16)
    total = count_parameters(NEMOTRON)
    assert memory.weights == pytest.approx(2 * (total.non_embedding / 2 + total.embedding / 2) / 8)
    assert memory.gradients == memory.optimizer == 0
    assert memory.total == sum(memory.parts.values())
    # 682 GB in 16 bits do not fit eight GPUs of 80 GB; sixteen hold them (the model's card).
    assert answering_memory(replace(ASKED, layout=Layout(tp=8), rows=1)).total > 80e9 > memory.total


def test_a_stage_that_cannot_hold_its_answers_is_an_error_whose_proposal_fits(tmp_path: Path) -> None:
    path = "pipeline.ladder.stages.responses.placement"
    with pytest.raises(SpecError) as error:
        _stages(tmp_path, f"{path}={{layout: {{tp: 8}}}}")
    problem = error.value.problems[0]
    assert problem.code == "too-large" and problem.path == path
    assert "GB on each GPU (weights" in problem.message
    proposal = problem.hint.removeprefix("these fit: ").split("; ")[0]
    found = _stages(tmp_path, f"{path}={proposal}")["ladder.1.responses"]
    assert found.memory is not None and found.memory.total <= 80e9


def test_rows_at_once_are_what_the_placement_says(tmp_path: Path) -> None:
    few = _stages(tmp_path, "pipeline.dpo_responses.placement.micro_batch_size=8")["dpo_responses"]
    many = _stages(tmp_path)["dpo_responses"]
    assert few.memory is not None and many.memory is not None
    assert few.memory.cache == pytest.approx(many.memory.cache / 32)
    assert few.wall_s > 4 * many.wall_s


def test_preference_training_counts_one_reading_of_its_reference(tmp_path: Path) -> None:
    dpo = _stages(tmp_path)["dpo"]
    (reference,) = dpo.work.asks
    assert (reference.label, reference.requests, reference.new_tokens) == ("general_sft", 2 * dpo.work.rows, 0)
    # Two sequences a pair, read once: a third of what an epoch of training on them takes.
    rest = dpo.work.flops - dpo.work.steps * dpo.work.flops_per_step
    assert rest / (dpo.work.steps * dpo.work.flops_per_step) == pytest.approx(1 / 3, rel=0.01)
    assert "roofline of scoring" in dpo.cost.basis and "model of a training step" in dpo.cost.basis


def _stages(store: Path, *sets: str) -> dict[str, PlannedStage]:
    plan = compile_plan(SPECS / "nemotron4-340b.yaml", list(sets), cluster="h100-768", store=store)
    return {stage.label: stage for stage in plan.stages}

"""The time of a step: what must hold whatever the constants are, and the report's own table, which was never fitted."""

import json
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from compiler.pipeline import compile_plan
from compiler.plan import plan_json
from compiler.planning.estimate import read_table, run_of
from compiler.planning.hardware import GPUS, known_gpu
from compiler.planning.throughput import FITTED, Run, step_time
from compiler.schema.model import Layout, ModelSpec

REPORT = Path(__file__).parents[3] / "specs" / "experiments" / "nemotron4-340b.yaml"
PUBLISHED = Path(__file__).parents[4] / "shared" / "data" / "throughput" / "published.csv"
MODEL = ModelSpec(
    num_layers=32, hidden_size=4096, ffn_hidden_size=14336, num_attention_heads=32, num_query_groups=8,
    vocab_size=128_256, seq_length=8192, activation="swiglu", normalization="rmsnorm", norm_epsilon=1e-5,
    rotary_percent=1.0, rotary_base=500_000, linear_bias=False, tie_embeddings=False, init_std=0.02,
)  # fmt: skip
RUN = Run(MODEL, Layout(tp=2, pp=2, dp=4), GPUS["H100"], 8192, 128, 1)


def seconds(run: Run, **changes: object) -> float:
    return step_time(replace(run, **changes)).seconds  # type: ignore[arg-type]


def test_table_2_of_the_report_within_five_percent(tmp_path: Path) -> None:
    plan = plan_json(compile_plan(REPORT, [], cluster="h100-768", store=tmp_path))
    early = next(stage for stage in plan["stages"] if stage["name"] == "early")
    table = [(768, 1536, 10.3, 0.424), (1536, 3072, 10.3, 0.423), (2304, 6144, 8.0, 0.410)]
    for phase, (batch, gpus, step_s, mfu) in zip(early["phases"], table, strict=True):
        assert (phase["global_batch"], phase["ranks"]) == (batch, gpus)
        assert phase["step_time_s"] == pytest.approx(step_s, rel=0.05)
        assert phase["mfu"] == pytest.approx(mfu, rel=0.05)
        assert phase["flops_formula"].startswith("full attention")
    assert json.dumps(plan)


def test_the_mfu_of_the_tables_own_times_is_the_tables(tmp_path: Path) -> None:
    # The formula alone: the published seconds give the published shares of the peak.
    plan = plan_json(compile_plan(REPORT, [], cluster="h100-768", store=tmp_path))
    phases = next(stage for stage in plan["stages"] if stage["name"] == "early")["phases"]
    published = [10.3, 10.3, 8.0]
    found = [
        phase["flops_per_step"] / (s * phase["ranks"] * 989e12) for phase, s in zip(phases, published, strict=True)
    ]
    assert found == pytest.approx([0.424, 0.423, 0.410], abs=0.002)


def test_the_7_6t_tokens_of_the_report_take_about_their_74_6_days(tmp_path: Path) -> None:
    plan = plan_json(compile_plan(REPORT, [], cluster="h100-768", store=tmp_path))
    phases = [phase for stage in plan["stages"] if stage["name"] in ("early", "late") for phase in stage["phases"]]
    days = sum(phase["wall_s"] for phase in phases if phase["global_batch"] == 2304) / 86_400
    assert days == pytest.approx(74.57, rel=0.05)


def test_software_of_before_august_2024_is_slower_and_todays_is_meant_where_none_is_named() -> None:
    assert seconds(RUN, software=2407) / seconds(RUN) == pytest.approx(FITTED.early)
    assert seconds(RUN, software=2408) == seconds(RUN) == seconds(RUN, software=None)


def test_casts_make_fp8_dearer_than_its_products_alone() -> None:
    # Products at twice the speed, and everything else as before but the weights' bytes: the rest is casting.
    plain, fp8 = step_time(RUN), step_time(replace(RUN, fp8=True))
    assert fp8.gemm < plain.gemm
    assert fp8.elementwise > plain.elementwise
    assert (fp8.attention, fp8.tensor_parallel) == (plain.attention, plain.tensor_parallel)


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="the table of published runs is not beside the repository")
def test_published_runs_are_met(tmp_path: Path) -> None:
    # Fitted to them, so only a guard against a model and constants that have come apart.
    errors = [
        abs(step_time(run_of(row)).seconds / float(row["step_s"]) - 1)
        for row in read_table(PUBLISHED)
        if row["quality"] == "A" and row["task"] == "pretrain" and row["sharding"].startswith("ddp+")
        and row["gpu"] in GPUS and all(row[name] for name in ("mbs", "pp", "vpp", "cp", "step_s"))
    ]  # fmt: skip
    assert len(errors) > 80
    assert statistics.median(errors) < 0.04
    assert sorted(errors)[int(0.9 * len(errors))] < 0.1


def test_the_parts_are_the_whole() -> None:
    time = step_time(RUN)
    assert sum(time.parts.values()) == time.seconds
    assert min(time.parts.values()) >= 0


def test_the_bubble_is_that_of_one_forward_one_backward() -> None:
    # (pp - 1) / (vpp m) of the work: Narayanan et al., section 2.2.
    plain = step_time(RUN)
    work = plain.seconds - plain.bubble - plain.data_parallel - plain.optimizer - plain.step
    assert plain.bubble / work == pytest.approx((2 - 1) / RUN.micro_batches)
    interleaved = step_time(replace(RUN, layout=Layout(tp=2, pp=2, vpp=4, dp=4)))
    assert interleaved.bubble < plain.bubble / 3


def test_twice_the_batch_on_twice_the_ranks_takes_the_time_of_one() -> None:
    twice = seconds(RUN, layout=Layout(tp=2, pp=2, dp=8), global_batch_size=256)
    assert twice == pytest.approx(seconds(RUN), rel=0.02)


def test_recomputing_all_costs_about_a_forward_pass() -> None:
    assert seconds(RUN, recompute="full") / seconds(RUN) == pytest.approx(4 / 3, abs=0.06)
    assert seconds(RUN) < seconds(RUN, recompute="selective") < seconds(RUN, recompute="full")


def test_fp8_is_faster_but_not_twice() -> None:
    assert 0.5 < seconds(RUN, fp8=True) / seconds(RUN) < 0.9


@pytest.mark.parametrize(
    ("better", "worse"),
    [("B200", "H200"), ("H200", "H100"), ("H100", "A100")],
)
def test_newer_gpus_are_faster(better: str, worse: str) -> None:
    assert seconds(RUN, gpu=GPUS[better]) < seconds(RUN, gpu=GPUS[worse])


def test_126_layers_with_embedding_and_logits_as_layers_of_their_own_fit_8_times_8_chunks() -> None:
    large = MODEL.model_copy(update={"num_layers": 126, "hidden_size": 16_384, "ffn_hidden_size": 53_248,
                                     "num_attention_heads": 128})  # fmt: skip
    run = Run(large, Layout(tp=8, pp=8, vpp=8, dp=1), GPUS["H100"], 8192, 64, 1)
    even = replace(run, model=large.model_copy(update={"num_layers": 128}))
    assert seconds(run) <= seconds(even)


@pytest.mark.parametrize("name", ["H100-80GB-SXM5", "h100", "NVIDIA H100 80GB HBM3"])
def test_gpus_are_known_by_the_names_that_sites_give_them(name: str) -> None:
    found = known_gpu(name)
    assert found is not None and found.name == "H100"
    assert known_gpu("MI300X") is None

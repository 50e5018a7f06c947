"""This machine's speed: from what was timed to a rate and a constant, and into the plans of local clusters alone."""

import os
from importlib.util import find_spec
from pathlib import Path
from platform import node

import pytest

from compiler.cli import main
from compiler.pipeline import compile_plan
from compiler.plan import Plan, PlannedStage
from compiler.planning.machine import machine_file, machines_folder, read_machine, speed_of, write_machine
from compiler.review.warnings import warnings
from compiler.schema.cluster import CpuSpeed
from compiler.schema.model import ModelSpec

SPECS = Path(__file__).parents[3] / "specs" / "experiments"
MODEL = ModelSpec(
    num_layers=4, hidden_size=128, ffn_hidden_size=512, num_attention_heads=4, num_query_groups=2, vocab_size=512,
    seq_length=64, activation="squared_relu", normalization="layernorm1p", norm_epsilon=1e-5, rotary_percent=0.5,
    rotary_base=10_000, linear_bias=False, tie_embeddings=False, init_std=0.02,
)  # fmt: skip
SLOW = CpuSpeed(
    start_up_s=1, engine_start_up_s=10, training_flops=1e9, generation_flops=2e9, rows_per_s=100, step_s=0.5,
    token_s=0.25, host=node(),
)  # fmt: skip


def timed(rate: float, step_s: float, token_s: float) -> dict[str, object]:
    """What a machine prints that trains and answers at this rate."""

    def flops(tokens: int, length: int) -> float:
        return MODEL.training_flops(tokens, length)

    return {
        "model": MODEL.model_dump(),
        "engine_s": 2.5,
        "rows_per_s": 1234.0,
        "trained": [
            {"tokens": tokens, "seq_length": length, "seconds": step_s + flops(tokens, length) / rate}
            for tokens, length in ((640, 20), (2048, 64))
        ],
        "answered": [
            {"tokens": tokens, "seq_length": 32, "steps": 16, "seconds": 16 * token_s + flops(tokens, 32) / 3 / rate}
            for tokens in (1024, 8192)
        ],
    }


def test_what_grows_with_the_flops_is_told_apart_from_what_every_step_costs() -> None:
    speed = speed_of(timed(rate=5e10, step_s=0.02, token_s=0.003), start_up_s=0.5)
    assert (speed.training_flops, speed.generation_flops) == (pytest.approx(5e10), pytest.approx(5e10))
    assert (speed.step_s, speed.token_s) == (pytest.approx(0.02), pytest.approx(0.003))
    assert (speed.start_up_s, speed.engine_start_up_s, speed.rows_per_s) == (0.5, 3.0, 1234.0)


def test_noise_that_turns_the_line_leaves_a_rate_alone() -> None:
    measured = timed(rate=5e10, step_s=0.0, token_s=0.0)
    measured["trained"][0]["seconds"] *= 10  # type: ignore[index]
    speed = speed_of(measured, start_up_s=0.5)
    assert (speed.training_flops, speed.step_s) == (pytest.approx(5e10), 0.0)


def planned(store: Path, cluster: str = "laptop", recipe: str = "tiny") -> tuple[Plan, dict[str, PlannedStage]]:
    plan = compile_plan(SPECS / f"{recipe}.yaml", [], cluster=cluster, store=store)
    return plan, {stage.label: stage for stage in plan.stages}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a user of their own keeps machines: none yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return machines_folder(os.environ)


def test_a_user_keeps_machines_at_home_unless_told_where() -> None:
    assert machines_folder({}) == machines_folder({"XDG_CONFIG_HOME": str(Path.home() / ".config")})


def test_plans_of_a_local_cluster_and_any_store_rest_on_this_machine_once_it_was_measured(
    tmp_path: Path, own: Path
) -> None:
    plan, before = planned(tmp_path)
    assert any("rung probe --here" in line for line in warnings(plan))
    write_machine(SLOW, own, node())
    plan, after = planned(tmp_path / "another store")
    assert not any("rung probe --here" in line for line in warnings(plan))
    sft = after["general_sft"]
    assert sft.cost.basis == f"speeds measured on {node()}"
    assert sft.wall_s == pytest.approx(10 + sft.work.steps * 0.5 + sft.work.flops / 1e9, abs=0.01)
    answers = after["reward_responses"]
    batches = -(-answers.work.rows // 256)
    expected = 10 + answers.work.flops / 2e9 + batches * 24 * 0.25 + answers.work.rows / 100
    assert answers.wall_s == pytest.approx(expected, abs=0.01)
    assert sft.fingerprint == before["general_sft"].fingerprint


def test_other_machines_of_a_shared_home_and_clusters_of_slurm_keep_their_own_speeds(tmp_path: Path, own: Path) -> None:
    write_machine(SLOW, own, "another-host")
    _, stages = planned(tmp_path)
    assert stages["general_sft"].cost.basis == "speeds of the cluster file"
    write_machine(SLOW, own, node())
    _, stages = planned(tmp_path, "one-node", "one-node")
    assert stages["truth_scores"].cost.basis == "speeds of the cluster file"


def test_a_file_of_another_version_counts_as_none(tmp_path: Path) -> None:
    file = write_machine(SLOW, tmp_path, "host")
    assert read_machine(tmp_path, "host") == SLOW
    file.write_text('{"training_flops": 1}')
    assert read_machine(tmp_path, "host") is None
    assert read_machine(tmp_path, "nowhere") is None


@pytest.mark.skipif(find_spec("megatron") is None, reason="the engine is not installed")
def test_this_machine_can_be_measured(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0})
    assert main(["probe", "--here"]) == 0
    speed = read_machine(own, node())
    assert speed is not None and machine_file(own, node()).is_file()
    # No core of today is outside of these.
    assert 1e9 < speed.training_flops < 1e12 and 1e9 < speed.generation_flops < 1e12
    assert 0 < speed.start_up_s < speed.engine_start_up_s
    assert 1e3 < speed.rows_per_s < 1e7

"""Two and four real processes over gloo: every layout trains as one process does."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_cases import FP32, NEMOTRON, environment, hashes, make, weights
from engine_ranks import NUM_STEPS, SPECS, completions, records

from compiler.schema.model import Layout
from runtime.engine import parallel
from runtime.engine.checkpoint import load_weights, save_weights
from runtime.engine.config import transformer_config
from runtime.engine.model import Model


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process does: losses, and weights before and after."""
    folder = tmp_path_factory.mktemp("alone")
    found: dict[str, Any] = {"folder": folder}
    for name, spec in SPECS.items():
        model = make(spec)
        save_weights(model, folder / f"{name}-initial")
        found[name] = records(model, ranks=1, rank=0)
        found[f"{name}-weights"] = model
    return found


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One pair of processes goes through all layouts, since starting them costs more than training."""
    return _run(tmp_path_factory.mktemp("two"), world_size=2)


def _run(folder: Path, *, world_size: int) -> Path:
    script = str(Path(__file__).with_name("engine_ranks.py"))
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", script, str(folder), str(rank), str(world_size)], env=environment()
        )
        for rank in range(world_size)
    ]
    try:
        codes = [process.wait(timeout=100) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert codes == [0] * world_size
    return folder


LAYOUTS = ["tp2", "tp2-sequence", "dp2", "pp2", "pp2-vpp2"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", SPECS)
def test_losses_are_those_of_one_process(alone: dict[str, Any], two_ranks: Path, layout: str, name: str) -> None:
    for rank in (0, 1):
        found = json.loads((two_ranks / f"{name}-{layout}-{rank}.json").read_text())
        for ours, theirs in zip(found, alone[name], strict=True):
            assert ours["loss"] == pytest.approx(theirs["loss"], abs=2e-5)
            assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-4)
            assert ours["tokens"] == theirs["tokens"]
            assert ours["metrics"] == pytest.approx(theirs["metrics"], abs=2e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_packed_rows_train_alike_at_every_layout(alone: dict[str, Any], two_ranks: Path, layout: str) -> None:
    """Ranks then have different numbers of tokens, which are told all the same."""
    here, there = (json.loads((two_ranks / f"packed-{layout}-{rank}.json").read_text()) for rank in (0, 1))
    assert [(ours["loss"], ours["tokens"]) for ours in here] == [(ours["loss"], ours["tokens"]) for ours in there]
    for ours, theirs in zip(here, alone["nemotron"], strict=False):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=2e-5)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-4)
        assert 0 < ours["tokens"] <= theirs["tokens"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_initial_weights_are_the_same_and_load_in_one_process(
    alone: dict[str, Any], two_ranks: Path, layout: str
) -> None:
    for name in SPECS:
        for when, expected in (("initial", None), ("final", alone[f"{name}-weights"])):
            model = make(SPECS[name], seed=77)
            load_weights(model, two_ranks / f"{name}-{layout}-{when}")
            other = expected
            if other is None:
                other = make(SPECS[name])
                assert _difference(model, other) == 0
            assert _difference(model, other) < 2e-3


def _difference(one: Model, other: Model) -> float:
    theirs = weights(other)
    return max(float((weight - theirs[name]).abs().max()) for name, weight in weights(one).items())


def test_weight_files_of_data_parallel_ranks_are_those_of_one_process(alone: dict[str, Any], two_ranks: Path) -> None:
    """Data parallelism is placement: an artifact made by one rank or by two has one identity."""
    one, two = (hashes(folder) for folder in (alone["folder"] / "nemotron-initial", two_ranks / "nemotron-dp2-initial"))
    assert one == two


def test_two_ranks_generate_what_one_does(alone: dict[str, Any], two_ranks: Path) -> None:
    expected = completions(make(SPECS["nemotron"]))
    for rank in (0, 1):
        assert json.loads((two_ranks / f"completions-{rank}.json").read_text()) == expected


def test_training_state_written_by_two_ranks_goes_on_in_one(alone: dict[str, Any], two_ranks: Path) -> None:
    model = make(SPECS["nemotron"])
    rest = records(model, ranks=1, rank=0, checkpoints=two_ranks / "tp2-training")
    assert [record["step"] for record in rest] == list(range(2, NUM_STEPS))
    for ours, theirs in zip(rest, alone["nemotron"][2:], strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=2e-5)


@pytest.mark.slow
def test_four_ranks_in_two_directions_train_as_one_process(
    alone: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = _run(tmp_path_factory.mktemp("four"), world_size=4)
    for layout in ("tp2-dp2", "tp2-pp2"):
        for rank in range(4):
            found = json.loads((folder / f"nemotron-{layout}-{rank}.json").read_text())
            for ours, theirs in zip(found, alone["nemotron"], strict=True):
                assert ours["loss"] == pytest.approx(theirs["loss"], abs=2e-5)
                assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-4)


@pytest.mark.parametrize(
    ("layout", "world_size", "reason"),
    [
        (Layout(tp=2), 1, "needs 2 ranks, but the job has 1"),
        (Layout(vpp=2), 1, "vpp=2 without pipeline"),
        (Layout(cp=2), 2, "cp=2 needs Transformer Engine"),
    ],
)
def test_layouts_that_cannot_work_are_refused_before_anything_starts(
    layout: Layout, world_size: int, reason: str
) -> None:
    with (
        pytest.raises(ValueError, match=reason),
        parallel.start(layout, rank=0, world_size=world_size, rendezvous=None, seed=1),
    ):
        pass


def test_interleaved_pipelines_never_batch_their_messages() -> None:
    """Batched, they mix up silently between two ranks."""
    config = transformer_config(NEMOTRON.model_copy(update={"num_layers": 4}), Layout(pp=2, vpp=2), FP32)
    assert not config.batch_p2p_comm
    assert torch.zeros(1).device.type == "cpu"

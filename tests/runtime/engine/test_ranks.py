"""Two to eight real processes over gloo: every layout trains, scores and generates as one process does."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_cases import FP32, NEMOTRON, environment, hashes, weights
from engine_ranks import CASES, NUM_PROCESSES, NUM_STEPS, RESUMED, Case, completions, model_of, records, said
from torch import Tensor

from compiler.schema.model import Layout
from runtime.engine import main_weights, parallel
from runtime.engine.checkpoint import load_weights, save_weights
from runtime.engine.config import transformer_config
from runtime.engine.model import Model
from runtime.engine.parallel import Options

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight processes go through all layouts, since starting them costs more than training."""
    folder = tmp_path_factory.mktemp("ranks")
    script = str(Path(__file__).with_name("engine_ranks.py"))
    processes = [
        subprocess.Popen([sys.executable, "-W", "ignore", script, str(folder), str(process)], env=environment())
        for process in range(NUM_PROCESSES)
    ]
    try:
        deadline = time.monotonic() + 600
        while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
            time.sleep(0.1)
            if any(process.poll() for process in processes):
                break  # the others would wait for it
    finally:
        for process in processes:
            process.kill()
    assert [process.wait() for process in processes] == [0] * NUM_PROCESSES
    return folder


@dataclass(frozen=True)
class Alone:
    """What one process does."""

    said: list[list[float]]
    records: list[dict[str, Any]]
    model: Model
    """After training."""


def single(case: Case) -> Case:
    return Case(Layout(), spec=case.spec, precision=case.precision)


@cache
def alone(spec: str, dtype: str, task: str) -> Alone:
    case = single(next(case for case in CASES.values() if (case.spec, case.precision.dtype) == (spec, dtype)))
    model = model_of(case, task)
    before = said(model, task)
    return Alone(before, records(model, task), model)


TASKS = [(name, task) for name, case in CASES.items() for task in case.tasks]


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_every_layout_does_what_one_process_does(ranks: Path, name: str, task: str) -> None:
    """What it says of given rows; losses, gradient norms and metrics of three steps; and all gradients, which are the
    weights' way in these steps (see LINEAR)."""
    case = CASES[name]
    expected = alone(case.spec, case.precision.dtype, task)
    tolerance = 1e-5 if case.precision == FP32 else 2e-2
    for rank in range(case.layout.world_size):
        found = json.loads((ranks / f"{name}-{rank}.json").read_text())
        for ours, theirs in zip(found[f"{task}-said"], expected.said, strict=True):
            assert ours == pytest.approx(theirs, abs=2 * tolerance)
        assert len(found[task]) == NUM_STEPS
        for ours, theirs in zip(found[task], expected.records, strict=True):
            assert ours["loss"] == pytest.approx(theirs["loss"], abs=tolerance)
            assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=10 * tolerance)
            assert ours["tokens"] == theirs["tokens"]
            assert ours["metrics"] == pytest.approx(theirs["metrics"], abs=2 * tolerance)
    one = model_of(single(case), task)
    before = {name: weight.clone() for name, weight in exact(one).items()}
    load_weights(one, ranks / f"{name}-{task}", to_train=True)
    after = exact(expected.model)
    for parameter, weight in exact(one).items():
        way = after[parameter] - before[parameter]
        limit = (1e-3 if case.precision == FP32 else 5e-2) * float(way.abs().max()) + 1e-7
        assert float((weight - after[parameter]).abs().max()) <= limit, parameter


def exact(model: Model) -> dict[str, Tensor]:
    """The weights in float32: of a model in bf16, those that training moves."""
    found = {}
    for chunk in model.chunks:
        for name, parameter in chunk.named_parameters():
            main = main_weights.beside(parameter)
            found[name] = parameter.detach().float() if main is None else main
    return found


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.generates])
def test_every_layout_generates_what_one_process_does(ranks: Path, name: str) -> None:
    expected = completions(model_of(single(CASES[name]), "next_token"))
    for rank in range(CASES[name].layout.world_size):
        assert json.loads((ranks / f"{name}-{rank}.json").read_text())["completions"] == expected


def test_weight_files_of_data_parallel_ranks_are_those_of_one_process(tmp_path: Path, ranks: Path) -> None:
    """Data parallelism is placement: an artifact made by one rank or by two has one identity."""
    model = model_of(single(CASES["dp2"]), "next_token")
    load_weights(model, ranks / "dp2-next_token")
    save_weights(model, tmp_path / "one")
    assert hashes(tmp_path / "one") == hashes(ranks / "dp2-next_token")


@pytest.mark.parametrize("name", RESUMED)
def test_training_state_of_several_ranks_goes_on_in_one(ranks: Path, name: str) -> None:
    case = CASES[name]
    options = Options(distributed_optimizer=case.options.distributed_optimizer)
    model = model_of(Case(Layout(), options, case.spec, case.precision), "next_token")
    rest = records(model, checkpoints=ranks / f"{name}-training")
    assert [record["step"] for record in rest] == list(range(2, NUM_STEPS))
    expected = alone(case.spec, case.precision.dtype, "next_token")
    for ours, theirs in zip(rest, expected.records[2:], strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5 if case.precision == FP32 else 2e-2)
    limit = 1e-5 if case.precision == FP32 else 2e-2
    assert max(_differences(model, expected.model)) < limit


def _differences(one: Model, other: Model) -> list[float]:
    theirs = weights(other)
    return [float((weight - theirs[name]).abs().max()) for name, weight in weights(one).items()]


@pytest.mark.parametrize(
    ("layout", "world_size", "reason"),
    [
        (Layout(tp=2), 1, "needs 2 ranks, but the job has 1"),
        (Layout(vpp=2), 1, "vpp=2 without pipeline"),
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

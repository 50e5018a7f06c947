"""A step that goes wrong on one of two ranks: both do the same about it, and it is what one process does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from engine_cases import environment, make, weights
from engine_trouble import CASES, NUM_STEPS, Case, learn

from compiler.schema.model import Layout
from runtime.engine.checkpoint import load_weights

pytestmark = pytest.mark.slow

TRAINED = {"skip": [0, 1, 2, 4, 5], "rewind": [0, 1, 4, 5]}
"""What is left of the steps: a checkpoint is kept after every second, and step 3 goes wrong."""


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trouble")
    script = str(Path(__file__).with_name("engine_trouble.py"))
    processes = [
        subprocess.Popen([sys.executable, "-W", "ignore", script, str(folder), str(rank)], env=environment())
        for rank in range(2)
    ]
    try:
        assert [process.wait(timeout=600) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    return folder


@pytest.mark.parametrize("name", CASES)
def test_what_one_rank_cannot_compute_no_rank_learns(ranks: Path, name: str) -> None:
    case = CASES[name]
    told = [json.loads((ranks / f"{name}-{rank}.json").read_text()) for rank in range(2)]
    assert told[0] == told[1]
    then = case.policy.not_a_number
    if then == "stop":
        assert "step 3" in told[0]["error"]
        return
    lost = set(range(NUM_STEPS)) - set(TRAINED[then])
    assert told[0]["lost"] == [float(step in lost) for step in range(NUM_STEPS)]
    start, expected, found = make(), make(), make()
    learn(expected, Case(Layout(), case.policy), TRAINED[then], None)
    load_weights(found, ranks / name)
    for parameter, weight in weights(expected).items():
        way = float((weight - weights(start)[parameter]).abs().max())
        assert float((weights(found)[parameter] - weight).abs().max()) < 1e-3 * way, parameter

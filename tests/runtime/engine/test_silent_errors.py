"""What megatron-core lets pass, or waits for without end, and the engine refuses or mends.

Others have their tests where every layout is compared with one process (test_ranks.py): interleaved stages that batch
their messages, interleaved stages that tell each other lengths, an attention that ignores context parallelism.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from engine_cases import ADAM, NEMOTRON, batches, environment, make, same_weights
from engine_recipes import FP8_RECIPES, TENSORWISE, in_fp8

from compiler.schema.model import Layout, Precision
from runtime.engine.config import transformer_config
from runtime.engine.keeping import Checkpointing
from runtime.engine.loop import StepRecord, train
from runtime.engine.model import Model
from runtime.engine.objective import next_token
from runtime.engine.optimizer import trainable
from runtime.engine.parallel import Options

SHARDED = Options(distributed_optimizer=True)


def run(model: Model, num_steps: int, folder: Path | None = None) -> list[StepRecord]:
    records: list[StepRecord] = []
    train(
        model,
        ADAM,
        num_steps=num_steps,
        learning_rate=lambda step: 1e-3,
        micro_batches=lambda step: batches(step, size=4),
        objective=next_token,
        checkpointing=None if folder is None else Checkpointing(folder, every=2),
        on_step=records.append,
    )
    return records


def test_a_distributed_optimizer_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    """Megatron stops at a KeyError; with that mended alone, one `step` tensor for all parameters runs ahead."""
    straight, resumed = make(options=SHARDED), make(options=SHARDED)
    records = run(straight, 6)
    run(make(options=SHARDED), 4, tmp_path)
    rest = run(resumed, 6, tmp_path)
    assert [record.loss for record in rest] == [record.loss for record in records[4:]]
    assert same_weights(straight, resumed)


def test_saving_before_the_first_step_changes_nothing() -> None:
    """Megatron's assertion fails on a fresh optimizer; what satisfies it must not move weights or moments."""
    model = make(options=SHARDED)
    state = trainable(model, ADAM)
    before = [parameter.detach().clone() for parameter in model.chunks[0].parameters()]
    (optimizer,) = state.optimizer.chained_optimizers
    assert optimizer.state_dict()["optimizer"]["param_groups"][0]["step"] == 0
    assert all(torch.equal(one, other) for one, other in zip(before, model.chunks[0].parameters(), strict=True))
    assert all(not moments["exp_avg"].any() for moments in optimizer.optimizer.state.values())


@pytest.mark.parametrize("name", FP8_RECIPES)
def test_fp8_is_refused_where_nothing_would_be_rounded(name: str) -> None:
    """Megatron with its local layers trains unrounded."""
    recipe = FP8_RECIPES[name].model_copy(update={"emulate": False})
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ValueError, match=r"needs a GPU.*`emulate: true`"):
        transformer_config(NEMOTRON, Layout(), Precision(dtype="bf16", fp8=recipe))


def test_emulated_fp8_is_in_the_layers_that_are_built() -> None:
    """The other way to train unrounded without a word: a recipe that no layer sees."""
    (chunk,) = make(precision=in_fp8(TENSORWISE)).chunks
    scaled = [name for name, module in chunk.named_modules() if name.endswith(".scaling")]
    assert len(scaled) == 4 * NEMOTRON.num_layers


_WITHOUT_PSUTIL = """
import sys, torch
sys.modules["psutil"] = None
from pathlib import Path
from engine_cases import make
from compiler.schema.model import Layout
from runtime.engine import parallel
from runtime.engine.checkpoint import load_weights, save_weights
from megatron.core.optimizer import distrib_optimizer
assert not distrib_optimizer.HAVE_APEX_OR_TE
with parallel.start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1):
    save_weights(make(), Path(sys.argv[1]) / "weights")
    load_weights(make(seed=5), Path(sys.argv[1]) / "weights")
"""


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU, Transformer Engine and Apex are wanted")
def test_neither_a_missing_psutil_nor_packages_for_gpus_stand_in_the_way(tmp_path: Path) -> None:
    """Megatron's writers would hang for ever, and its optimizer silently become FusedAdam and die."""
    for package in ("transformer_engine", "apex"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    environ = environment()
    environ["PYTHONPATH"] = f"{environ['PYTHONPATH']}:{tmp_path}"
    command = [sys.executable, "-W", "ignore", "-c", _WITHOUT_PSUTIL, str(tmp_path)]
    assert subprocess.run(command, env=environ, timeout=200).returncode == 0

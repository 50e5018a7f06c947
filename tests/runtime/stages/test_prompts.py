import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from compiler.artifacts import PromptRow
from compiler.schema.data import Split
from runtime import tasks
from runtime.generators.self_prompted import Rejected
from runtime.rows import read_rows
from runtime.splits import part_of, prompt_text
from runtime.stages import prompts

SPLIT = {"salt": "tiny", "shares": {"train": 0.7, "evaluation": 0.3}}
TASKS = {"kind": "tasks", "families": {"sort": 1.0, "repeat": 1.0}}
SELF = {
    "kind": "self_prompted",
    "policy": "policy",
    "families": {"sort": 1.0, "repeat": 1.0},
    "temperature": 1.0,
    "max_attempts": 3000,
}


def _prompts(run_stage: Any, **fields: Any) -> Any:
    given = {"generator": TASKS, "count": 100, "split": SPLIT, "parts": ("train",), "seed": 1, **fields}
    return run_stage("prompts", given, {})


def test_drawn_prompts_are_distinct_and_of_the_part(run_stage: Any) -> None:
    ran = _prompts(run_stage)
    rows = list(read_rows(ran.output, PromptRow))
    split = Split.model_validate(SPLIT)
    assert len({row.id for row in rows}) == ran.facts["rows"] == 100
    assert ran.facts["rows_by_family"] == {"repeat": 50, "sort": 50}
    assert {part_of(split, prompt_text(row.messages)) for row in rows} == {"train"}
    assert _prompts(run_stage).bytes == ran.bytes != _prompts(run_stage, seed=2).bytes


def test_an_unknown_part_is_refused(run_stage: Any) -> None:
    with pytest.raises(ValueError, match="training; it has evaluation, train"):
        _prompts(run_stage, parts=("training",))


def test_what_a_policy_writes_is_kept_or_counted(run_stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import random

    @contextmanager
    def sampler(*_: object) -> Any:
        def sample(count: int, first: int) -> list[str]:
            drawn = (random.Random(index) for index in range(first, first + count))
            return [
                "nonsense" if rng.random() < 0.2 else tasks.find(rng.choice(tasks.FAMILIES)).draw(rng).prompt
                for rng in drawn
            ]

        yield sample

    monkeypatch.setattr(prompts, "_sampler", sampler)
    ran = _prompts(run_stage, generator=SELF, count=60)
    rows = list(read_rows(ran.output, PromptRow))
    assert {row.origin for row in rows} == {"self_prompted"}
    assert ran.facts["rows_by_family"] == {"repeat": 30, "sort": 30}
    assert {"malformed", "unwanted family", "held out"} <= set(ran.facts["rejected"])
    stops = [stop["rows"] for stop in ran.facts["waterfall"]]
    assert (stops[0], stops[-1]) == (ran.facts["attempts"], 60)
    assert stops == sorted(stops, reverse=True)
    assert ran.facts["attempts"] == 60 + sum(ran.facts["rejected"].values())


@pytest.fixture
def policy(tmp_path: Path, sealed: Callable[[Path], Path]) -> Path:
    """A policy that was never trained: what it writes is noise, but the same noise every time."""
    from compiler.schema.model import Layout, ModelSpec, Precision
    from runtime.engine import model, parallel
    from runtime.policy import write_policy
    from runtime.tokenizer import train_tokenizer

    shape = {
        "num_layers": 1,
        "hidden_size": 16,
        "ffn_hidden_size": 16,
        "num_attention_heads": 2,
        "num_query_groups": 2,
        "vocab_size": 300,
        "seq_length": 8,
        "activation": "squared_relu",
        "normalization": "layernorm1p",
        "norm_epsilon": 1e-5,
        "rotary_percent": 1.0,
        "rotary_base": 10000,
        "linear_bias": False,
        "tie_embeddings": False,
        "init_std": 0.02,
    }
    for folder in ("policy", "tokenizer"):
        (tmp_path / folder).mkdir()
    train_tokenizer(["say dog"], 300, "compact", tmp_path / "tokenizer")
    with parallel.start(Layout(), rank=0, world_size=1, rendezvous=tmp_path / "rendezvous", seed=0):
        built = model.build(ModelSpec.model_validate(shape), Layout(), Precision(dtype="fp32"), seed=0)
        write_policy(built, tmp_path / "policy", tokenizer=tmp_path / "tokenizer", main=True)
    return sealed(tmp_path / "policy")


def test_turns_are_sampled_from_the_policy_whatever_the_batches(
    run_stage: Any, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []
    monkeypatch.setattr(prompts.self_prompted, "read", lambda text, **_: found.append(text) or Rejected("malformed"))
    for batch in (24, 5):
        monkeypatch.setattr(prompts, "_BATCH", batch)
        with pytest.raises(ValueError, match="none of 24 turns"):
            run_stage(
                "prompts",
                {"generator": {**SELF, "max_attempts": 24}, "count": 9, "split": SPLIT, "parts": ("train",), "seed": 1},
                {"policy": policy},
            )
    assert found[:24] == found[24:]
    assert len(set(found)) > 12


@pytest.mark.parametrize("kind", ["prompts", "annotate", "mix", "filter", "pair", "tokenizer"])
def test_stages_without_a_model_do_not_wait_for_torch(kind: str) -> None:
    program = f"import sys, runtime.stages.{kind}; print('torch' in sys.modules or 'numpy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"

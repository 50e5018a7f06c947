"""Preference training: what it learns, and the reference's log-probabilities, computed once and found again."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from compiler.artifacts import ArtifactRecord, Message, PreferenceRow
from compiler.schema.model import Layout, ModelSpec, Precision
from runtime import store
from runtime.engine import parallel
from runtime.engine.model import build
from runtime.policy import TOKENIZER, write_policy
from runtime.tokenizer import ChatTokenizer, train_tokenizer

SPEC = ModelSpec(
    num_layers=2,
    hidden_size=32,
    ffn_hidden_size=64,
    num_attention_heads=4,
    num_query_groups=2,
    vocab_size=320,
    seq_length=64,
    activation="squared_relu",
    normalization="layernorm1p",
    norm_epsilon=1e-5,
    rotary_percent=0.5,
    rotary_base=10_000,
    linear_bias=False,
    tie_embeddings=False,
    init_std=0.05,
)
FIELDS = {
    "init": "policy",
    "reference": "policy",
    "data": "pairs",
    "loss": {"kind": "dpo", "beta": 0.5, "sft_weight": 0.0, "sft_average": True},
    "epochs": 4,
    "global_batch_size": 8,
    "learning_rate": {"shape": "constant", "start": 2e-3, "end": 2e-3, "warmup_steps": 0},
    "optimizer": {"beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "weight_decay": 0.0, "clip_grad": 1.0},
    "precision": {"dtype": "fp32"},
    "seed": 1,
}


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A sealed policy with initial weights of this seed."""
    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("policies")
    tokenizer = home / "tokenizer"
    tokenizer.mkdir()
    train_tokenizer(["say yes", "say no", "yes", "no"], SPEC.vocab_size, "compact", tokenizer)

    def make(seed: int) -> Path:
        folder = home / f"seed-{seed}"
        if not folder.exists():
            folder.mkdir()
            with parallel.start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1):
                model = build(SPEC, Layout(), Precision(dtype="fp32"), seed=seed)
                write_policy(model, folder, tokenizer=tokenizer, main=True)
            record = ArtifactRecord(
                kind="pretrain",
                fingerprint=f"seed-{seed}",
                label="policy",
                stage={},
                inputs={},
                files=store.hash_files(folder),
                bytes=1,
            )
            (folder / store.RECORD).write_text(record.model_dump_json())
        return folder

    return make


@pytest.fixture(scope="module")
def pairs(policy: Callable[[int], Path]) -> list[PreferenceRow]:
    """Answers of different lengths; the chosen ones say yes."""
    tokenizer = ChatTokenizer.load(policy(1) / TOKENIZER)

    def row(number: int) -> PreferenceRow:
        yes, no = " ".join(["yes"] * (1 + number % 3)), " ".join(["no"] * (1 + number % 4))
        return PreferenceRow(
            id=str(number),
            prompt_id=str(number),
            family="sort",
            messages=(Message(role="user", content="say yes" + " please" * (number % 5)),),
            chosen=yes,
            rejected=no,
            chosen_ids=tuple(tokenizer.encode_answer(yes)),
            rejected_ids=tuple(tokenizer.encode_answer(no)),
            chosen_reward=1.0,
            rejected_reward=0.0,
        )

    return [row(number) for number in range(32)]


def found(run: Path) -> list[bool]:
    """Of each time that a stage wanted the reference's log-probabilities: whether they were there."""
    events = (json.loads(line) for line in (run.parent / "journal.jsonl").read_text().splitlines())
    return [event["found"] for event in events if event["event"] == "reference_logprobs"]


def test_the_policy_comes_to_prefer_what_was_chosen(run_stage, policy, pairs) -> None:
    ran = run_stage("prefer", FIELDS, {"policy": policy(1), "pairs": pairs})
    curve = [json.loads(line) for line in (ran.output / "curve.jsonl").read_text().splitlines()]
    assert len(curve) == 16
    assert curve[0]["loss"] == pytest.approx(np.log(2), abs=1e-5)
    assert curve[0]["implicit_gap"] == pytest.approx(0.0, abs=1e-5)
    assert curve[-1]["accuracy"] == 1.0
    assert curve[-1]["loss"] < 0.5


def test_the_reference_is_asked_once_for_all_points_of_a_sweep(run_stage, policy, pairs) -> None:
    inputs = {"policy": policy(1), "pairs": pairs}
    other_beta = {**FIELDS, "loss": {**FIELDS["loss"], "beta": 0.1}}
    first, second = (run_stage("prefer", fields, inputs) for fields in (FIELDS, other_beta))
    again = run_stage("prefer", FIELDS, inputs)
    assert [found(ran.output) for ran in (first, second, again)] == [[False], [True], [True]]
    assert first.bytes["curve.jsonl"] == again.bytes["curve.jsonl"]
    assert first.bytes["curve.jsonl"] != second.bytes["curve.jsonl"]


@pytest.mark.parametrize("change", ["weights", "pairs", "precision"])
def test_a_changed_reference_is_not_reused(run_stage, policy, pairs, change: str) -> None:
    fields = {**FIELDS, "reference": "reference", "epochs": 1}
    run_stage("prefer", fields, {"policy": policy(1), "reference": policy(1), "pairs": pairs})
    if change == "precision":
        fields = {**fields, "precision": {"dtype": "bf16"}}
    reference = policy(2 if change == "weights" else 1)
    rows = [*pairs[1:], pairs[0]] if change == "pairs" else pairs
    ran = run_stage("prefer", fields, {"policy": policy(1), "reference": reference, "pairs": rows})
    assert found(ran.output) == [False]
    curve = [json.loads(line) for line in (ran.output / "curve.jsonl").read_text().splitlines()]
    # Where policy and reference differ, so do their log-probabilities, from the first step on.
    assert (abs(curve[0]["chosen_shift"]) > 1e-2) == (change == "weights")

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parents[1] / "formats"))

from checkpoints import SHAPES, logits, some_tokens, their_logits

from compiler.artifacts import Message
from compiler.schema.model import Layout, ModelSpec, Precision
from runtime.engine.model import build
from runtime.engine.parallel import start
from runtime.policy import open_policy, write_policy
from runtime.stages import export
from runtime.tokenizer import ChatTokenizer, train_tokenizer

transformers = pytest.importorskip("transformers")
FP32 = Precision(dtype="fp32")


def some_policy(spec: ModelSpec, home: Path, template: str = "compact") -> Path:
    """A policy of random weights, away from the values at which conventions of norms would not show."""
    tokenizer, policy = home / "tokenizer", home / "policy"
    tokenizer.mkdir(parents=True)
    policy.mkdir()
    train_tokenizer(["Some words, to train on."], 300, template, tokenizer)
    with start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1):
        model = build(spec.model_copy(update={"vocab_size": 304}), Layout(), FP32, seed=3)
        generator = torch.Generator().manual_seed(4)
        for parameter in model.chunks[0].parameters():
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
        write_policy(model, policy, tokenizer=tokenizer, main=True)
    return policy


def exported(run_stage: Any, policy: Path, dtype: str = "fp32") -> Any:
    return run_stage("export", {"policy": "policy", "format": "huggingface", "dtype": dtype}, {"policy": policy})


def our_logits(policy: Path, tokens: torch.Tensor) -> torch.Tensor:
    with start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1):
        return logits(open_policy(policy, Layout(), FP32), tokens)


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "geglu"])
def test_transformers_loads_an_exported_model_with_the_same_logits(name: str, run_stage: Any, tmp_path: Path) -> None:
    spec = SHAPES[name]
    policy = some_policy(spec, tmp_path)
    folder = exported(run_stage, policy).output
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.float32
    tokens = some_tokens(spec)
    expected = our_logits(policy, tokens)
    assert expected.std() > 0.1
    assert (their_logits(model.eval(), tokens) - expected).abs().max() < 1e-4


def test_what_was_exported_is_adopted_as_what_it_was(run_stage: Any, tmp_path: Path) -> None:
    spec = SHAPES["nemotron"].model_copy(update={"vocab_size": 304})
    policy = some_policy(spec, tmp_path)
    folder = exported(run_stage, policy).output
    stage = {
        "artifact": "policy",
        "name": "ours",
        "source": {"kind": "huggingface"},
        "model": spec.model_dump(),
        "tokenizer": "tokenizer",
        "files": ("config.json", "model.safetensors"),
    }
    files = [folder / "config.json", folder / "model.safetensors"]
    adopted = run_stage("adopt", stage, {"tokenizer": tmp_path / "tokenizer"}, files=files)
    tokens = some_tokens(spec)
    assert torch.equal(our_logits(adopted.output, tokens), our_logits(policy, tokens))
    assert adopted.facts["parameters"] == sum(tensor.numel() for tensor in load_file(files[1]).values())


def test_large_models_are_written_in_several_files(
    run_stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = some_policy(SHAPES["llama"], tmp_path)
    whole = exported(run_stage, policy)
    assert whole.facts["files"] == 1
    assert (whole.output / "model.safetensors").stat().st_mode & 0o044 == 0o044  # a store is shared
    monkeypatch.setattr(export, "MOST_BYTES", 60_000)
    sharded = exported(run_stage, policy)
    assert sharded.facts["files"] > 2
    index = json.loads((sharded.output / "model.safetensors.index.json").read_text())
    assert {path.name for path in sharded.output.glob("*.safetensors")} == set(index["weight_map"].values())
    one, other = (
        transformers.AutoModelForCausalLM.from_pretrained(made.output).state_dict() for made in (whole, sharded)
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_weights_are_written_in_bf16_where_that_is_asked(run_stage: Any, tmp_path: Path) -> None:
    policy = some_policy(SHAPES["llama"], tmp_path)
    folder = exported(run_stage, policy, "bf16").output
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    tokens = some_tokens(SHAPES["llama"])
    assert (their_logits(model.float().eval(), tokens) - our_logits(policy, tokens)).abs().max() < 0.2


@pytest.mark.parametrize("template", ["compact", "nemotron", "chatml", "smollm2"])
def test_conversations_become_the_same_tokens(template: str, run_stage: Any, tmp_path: Path) -> None:
    policy = some_policy(SHAPES["llama"], tmp_path, template)
    theirs = transformers.AutoTokenizer.from_pretrained(exported(run_stage, policy).output)
    ours = ChatTokenizer.load(policy / "tokenizer")
    said = [("user", "Why?"), ("assistant", "So, 12."), ("user", "Then  what:\n x?")]
    for turns in (said, [("system", "Be brief."), *said]):
        messages = [{"role": role, "content": content} for role, content in turns]
        expected = ours.encode_prompt([Message.model_validate(message) for message in messages])
        found = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert list(found) == expected
    assert theirs.eos_token_id == ours.end_id
    assert theirs.pad_token_id == ours.pad_id

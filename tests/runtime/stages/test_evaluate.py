import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "formats"))

from checkpoints import SHAPES

from compiler.artifacts import Message, PromptRow
from compiler.schema.model import Layout, Precision
from runtime.engine.model import build
from runtime.engine.parallel import start
from runtime.policy import write_policy
from runtime.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that answers noise."""
    home = tmp_path_factory.mktemp("policy")
    tokenizer, policy = home / "tokenizer", home / "policy"
    tokenizer.mkdir()
    policy.mkdir()
    train_tokenizer(["Some words, to train on."], 300, "compact", tokenizer)
    with start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1):
        model = build(SHAPES["llama"].model_copy(update={"vocab_size": 304}), Layout(), Precision(dtype="fp32"), seed=3)
        write_policy(model, policy, tokenizer=tokenizer, main=True)
    return policy


def prompt(name: str, check: dict[str, Any] | None) -> PromptRow:
    messages = (Message(role="user", content=f"Say {name}."),)
    return PromptRow(id=name, family="instruction_following", messages=messages, origin="theirs", check=check)


def instruction(**parameters: Any) -> dict[str, Any]:
    return {"verifier": "instructions", "instructions": [parameters]}


def examine(run_stage: Any, policy: Path, *prompts: PromptRow) -> Any:
    fields = {"policy": "policy", "prompts": "prompts", "max_new_tokens": 8, "seed": 1}
    return run_stage("evaluate", fields, {"policy": policy, "prompts": prompts})


def test_answers_are_checked_by_what_each_prompt_carries(run_stage: Any, policy: Path) -> None:
    at_most = {"type": "length_constraints:number_words", "relation": "less than"}
    facts = examine(
        run_stage,
        policy,
        prompt("few", instruction(**at_most, num_words=500)),
        prompt("none", instruction(**at_most, num_words=0)),
    ).facts
    for decoding in ("greedy", "sampled"):
        assert facts["decodings"][decoding]["prompts"] == 2
        assert facts["decodings"][decoding]["passed"] == 1


def test_a_prompt_that_nothing_can_check_is_no_exam(run_stage: Any, policy: Path) -> None:
    with pytest.raises(ValueError, match="no program can check"):
        examine(run_stage, policy, prompt("anything", None))

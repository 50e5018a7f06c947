import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "formats"))

from checkpoints import SHAPES

from compiler.artifacts import Message, PromptRow
from compiler.schema.model import Layout, Precision
from runtime import ladder
from runtime.engine.model import build
from runtime.engine.parallel import start
from runtime.policy import write_policy
from runtime.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory, sealed: Callable[[Path], Path]) -> Path:
    """One that answers noise."""
    home = tmp_path_factory.mktemp("policy")
    tokenizer, policy = home / "tokenizer", home / "policy"
    tokenizer.mkdir()
    policy.mkdir()
    train_tokenizer(["Some words, to train on."], 300, "compact", tokenizer)
    with start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1):
        model = build(SHAPES["llama"].model_copy(update={"vocab_size": 304}), Layout(), Precision(dtype="fp32"), seed=3)
        write_policy(model, policy, tokenizer=tokenizer, main=True)
    return sealed(policy)


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


def test_a_model_grades_what_no_program_can_check(run_stage: Any, teach: Any) -> None:
    """A served policy, so that what it says is known; greedy answers are graded, and grades that cannot be read are
    left out."""

    def grader(last: str, _: Any) -> str:
        assert "Answer to" in last
        return "I cannot say." if "Say dull" in last else "Clear.\nGrade: 9" if "Say first" in last else "Grade: 4"

    policy, judge = teach(lambda last, _: f"Answer to {last}"), teach(grader)
    sampling = {"temperature": 0.0, "top_p": 1.0, "max_new_tokens": 64}
    grade = {"kind": "llm_grade", "model": "g", "rubric": "helpfulness", "highest": 10, "show_reference": False}
    fields = {"policy": "p", "prompts": "q", "max_new_tokens": 8, "seed": 1, "grade": {**grade, "sampling": sampling}}
    few = instruction(type="length_constraints:number_words", relation="less than", num_words=500)
    prompts = [prompt("first", None), prompt("second", few), prompt("dull", None)]
    ran = run_stage("evaluate", fields, {"p": policy, "q": prompts, "g": judge})
    greedy, sampled = (ran.facts["decodings"][name] for name in ("greedy", "sampled"))
    assert (greedy["grade"], greedy["graded"], sampled["grade"]) == (6.5, 2, None)
    assert (greedy["prompts"], greedy["checked"], greedy["passed"], greedy["accuracy"]) == (3, 1, 1, 1.0)
    assert ran.facts["families"]["instruction_following"]["greedy"]["checked"] == 1
    rows = [json.loads(line) for line in (ran.output / "rows.jsonl").read_text().splitlines()]
    assert [row["greedy"]["passed"] for row in rows] == [None, True, None]
    assert [row["greedy"]["grade"] for row in rows] == [9.0, 4.0, None]
    assert len(judge.asked) == 3

    (row,) = ladder.ladder({"Graded": [ladder.evaluation("exam", "f", rows)]}, {})
    assert row["grade"]["mean"] == 6.5
    assert row["grade"]["low"] < 4 < 9 < row["grade"]["high"]
    assert row["overall"]["greedy"]["checked"] == 1

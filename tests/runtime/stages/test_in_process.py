"""Topics, prompts, answers and verdicts by a model in this process, which has learnt to say just enough."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "formats"))

from checkpoints import SHAPES

from compiler.artifacts import DialogueRow, Message, PreferenceRow, PromptRow, ResponseRow, TopicRow
from compiler.render import render
from compiler.schema.model import Layout, Precision
from runtime.engine.model import build
from runtime.engine.parallel import start
from runtime.policy import write_policy
from runtime.rows import messages_id, read_rows
from runtime.tokenizer import train_tokenizer

BROAD = ("Food", "Sport")
NARROW = tuple(f"{topic} {where}" for topic in BROAD for where in ("at home", "at school"))
TOPICS = ("Trees", *BROAD, *NARROW)
GOOD, POOR = "It is good.", "I do not know."
GREEDY = {"temperature": 0.0, "top_p": 1.0, "max_new_tokens": 48}


def numbered(*items: str) -> str:
    return "\n".join(f"{place}. {item}" for place, item in enumerate(items, start=1))


def questions(topic: str) -> tuple[str, str]:
    return f"What is {topic.lower()}?", f"Why {topic.lower()}?"


LESSONS = {
    render("prompts/general_macro_topics.j2", count=2).strip(): numbered(*BROAD),
    **{
        render("prompts/general_subtopics.j2", topic=topic, count=2).strip(): numbered(
            f"{topic} at home", f"{topic} at school"
        )
        for topic in BROAD
    },
    **{render("prompts/open_qa.j2", topic=topic, count=2).strip(): numbered(*questions(topic)) for topic in TOPICS},
    **{asked: GOOD if asked.startswith("What") else POOR for topic in TOPICS for asked in questions(topic)},
    **{
        render("prompts/judge_helpfulness.j2", question=asked, first=first, second=second).strip(): f"Better: {better}"
        for topic in TOPICS
        for asked in questions(topic)
        for first, second, better in ((GOOD, POOR, "first"), (POOR, GOOD, "second"))
    },
}  # fmt: skip


LABELLED = [(asked, (GOOD, POOR)) for topic in TOPICS for asked in questions(topic)]


def pair(asked: str, chosen: str, rejected: str) -> PreferenceRow:
    return PreferenceRow(
        id=asked,
        prompt_id=asked,
        family="short",
        messages=(Message(role="user", content=asked),),
        chosen=chosen,
        rejected=rejected,
        chosen_ids=None,
        rejected_ids=None,
        chosen_reward=0.0,
        rejected_reward=0.0,
    )


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows nothing yet."""
    home = tmp_path_factory.mktemp("blank")
    tokenizer, policy = home / "tokenizer", home / "policy"
    tokenizer.mkdir()
    policy.mkdir()
    train_tokenizer([*LESSONS, *LESSONS.values()], 640, "compact", tokenizer)
    shape = SHAPES["llama"].model_copy(update={"vocab_size": 640, "seq_length": 512})
    with start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1):
        write_policy(build(shape, Layout(), Precision(dtype="fp32"), seed=3), policy, tokenizer=tokenizer, main=True)
    return policy


def taught(run_stage: Any, blank: Path, sealed: Callable[[Path], Path]) -> Path:
    rows = []
    for asked, said in LESSONS.items():
        messages = (Message(role="user", content=asked), Message(role="assistant", content=said))
        rows.append(
            DialogueRow(id=messages_id(messages), prompt_id="-", family="-", messages=messages, origin="annotator")
        )
    fields = {
        "init": "blank",
        "data": "lessons",
        "epochs": 40,
        "global_batch_size": 10,
        "learning_rate": {"shape": "linear", "start": 1e-2, "end": 1e-3, "warmup_steps": 10},
        "optimizer": {"beta1": 0.9, "beta2": 0.98, "epsilon": 1e-8, "weight_decay": 0.0, "clip_grad": 1.0},
        "precision": {"dtype": "fp32"},
        "seed": 1,
    }
    ran = run_stage("sft", fields, {"blank": blank, "lessons": rows})
    assert ran.facts["last_loss"] < 0.1
    return sealed(ran.output)


def test_a_chain_from_topics_to_verdicts_in_one_process(
    run_stage: Any, blank: Path, sealed: Callable[[Path], Path]
) -> None:
    model = taught(run_stage, blank, sealed)
    by_hand = [TopicRow(id="trees", topic="Trees", origin="hand_made")]
    generated = {
        "kind": "generated",
        "model": "m",
        "subject": "general",
        "macro_topics": 2,
        "subtopics": 2,
        "sampling": GREEDY,
    }
    named = run_stage(
        "topics",
        {"sources": ({"kind": "hand_made", "topics": "t"}, generated), "count": 9, "seed": 1},
        {"m": model, "t": by_hand},
    )
    topics = list(read_rows(named.output, TopicRow))
    assert {row.topic for row in topics} == set(TOPICS)

    generator = {"kind": "open_qa", "model": "m", "topics": "t", "per_topic": 2, "refinements": (), "sampling": GREEDY}
    split = {"salt": "s", "shares": {"all": 1.0}}
    written = run_stage(
        "prompts",
        {"generator": generator, "count": 14, "split": split, "parts": ("all",), "seed": 1},
        {"m": model, "t": topics},
    )
    prompts = list(read_rows(written.output, PromptRow))
    assert {row.messages[0].content for row in prompts} == {one for topic in TOPICS for one in questions(topic)}
    named_by = {row.id: row.topic for row in topics}
    assert all(named_by[row.made_from[0]].lower() in row.messages[0].content for row in prompts)

    sampling = {"temperature": 1.5, "top_p": 1.0, "max_new_tokens": 8}
    fields = {"policy": "m", "prompts": "p", "samples": 3, "sampling": sampling, "seed": 1}
    answered = run_stage("generate", fields, {"m": model, "p": prompts})
    responses = list(read_rows(answered.output, ResponseRow))
    assert len(responses) == 3 * 14

    judge = {"kind": "llm", "model": "m", "rubric": "helpfulness", "sampling": {**GREEDY, "max_new_tokens": 12}}
    judged = run_stage("judge", {"judge": judge, "responses": "r"}, {"m": model, "r": responses})
    told = judged.facts["comparisons"]
    assert told["both_readable"] + sum(told["rejected"].values()) >= told["pairs"] > 0
    examined = run_stage(
        "examine",
        {"judge": judge, "preferences": "labelled"},
        {"m": model, "labelled": [pair(asked, *said) for asked, said in LABELLED]},
    )
    assert (examined.facts["right"], examined.facts["wrong"]) == (len(LABELLED), 0)
    assert examined.facts["comparisons"]["consistent"]["share"] == 1.0
    read = examine_by_likelihood(run_stage, model, [pair(asked, *said) for asked, said in LABELLED])
    assert (read.facts["right"], read.facts["wrong"]) == (len(LABELLED), 0)
    assert read.facts["comparisons"]["consistent"]["share"] == 1.0


def examine_by_likelihood(run_stage: Any, model: Path, pairs: list[PreferenceRow]) -> Any:
    judge = {"kind": "llm_likelihood", "model": "m", "rubric": "helpfulness"}
    return run_stage("examine", {"judge": judge, "preferences": "labelled"}, {"m": model, "labelled": pairs})


def test_a_likelier_verdict_does_not_mind_places_and_what_is_too_long_gets_none(
    run_stage: Any, blank: Path, sealed: Callable[[Path], Path], tmp_path: Path
) -> None:
    """Of a model that knows nothing: exchanged answers exchange right and wrong, pair by pair."""
    model = sealed(Path(shutil.copytree(blank, tmp_path / "model")))
    pairs = [pair(asked, *said) for asked, said in LABELLED]
    turned = [pair(asked, *reversed(said)) for asked, said in LABELLED]
    one, other = (examine_by_likelihood(run_stage, model, rows) for rows in (pairs, turned))
    assert one.facts["right"] + one.facts["wrong"] == len(pairs)
    assert (one.facts["right"], one.facts["wrong"]) == (other.facts["wrong"], other.facts["right"])
    long = examine_by_likelihood(run_stage, model, [pairs[0], pair("Why?", "so " * 400, "no")])
    assert (long.facts["silent"], long.facts["comparisons"]["both_readable"]) == (1, 1)
    assert long.facts["comparisons"]["rejected"] == {"longer than the model's context": 2}

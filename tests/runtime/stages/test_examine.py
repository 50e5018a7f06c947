"""Judges that are known against labelled pairs, so that what is found can be worked out by hand."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from compiler.artifacts import Message, PreferenceRow
from compiler.pipeline import compile_graph
from compiler.stages.adopt import Adopt
from runtime.intervals import wilson
from runtime.rows import read_rows

DATA = Path(__file__).parents[4] / "shared" / "data"
RECIPE = Path(__file__).parents[3] / "specs" / "experiments" / "judges.yaml"
SAMPLING = {"temperature": 0.0, "top_p": 1.0, "max_new_tokens": 64}


def pair(name: str, family: str, chosen: str, rejected: str, asked: str = "Which?") -> PreferenceRow:
    return PreferenceRow(
        id=name,
        prompt_id="same",
        family=family,
        messages=(Message(role="user", content=asked),),
        chosen=chosen,
        rejected=rejected,
        chosen_ids=None,
        rejected_ids=None,
        chosen_reward=0.0,
        rejected_reward=0.0,
    )


PAIRS = [
    pair("a", "kind", "a long answer", "short"),
    pair("b", "kind", "tiny", "a longer one"),
    pair("c", "kind", "the longest of all", "zzz"),
    pair("d", "true", "one", "three"),
    pair("e", "true", "same size", "size same"),
]


def longer(last: str, _: Sequence[Any]) -> str:
    """Likes what is longer; of equal length, what stands first, so that its two verdicts do not agree."""
    first, second = re.search(
        r"=== First answer ===\n(.*?)\n\n=== Second answer ===\n(.*?)\n\n===", last, re.S
    ).groups()  # type: ignore[union-attr]
    return f"Better: {'first' if len(first) >= len(second) else 'second'}"


def examine(run_stage: Any, judge: Any, pairs: Sequence[PreferenceRow], **more: Any) -> Any:
    spec = {"kind": "llm", "model": "m", "rubric": "helpfulness", "sampling": SAMPLING, **more}
    return run_stage("examine", {"judge": spec, "preferences": "p"}, {"m": judge, "p": pairs})


def test_a_judge_that_minds_length_is_found_out(run_stage: Any, teach: Any) -> None:
    facts = examine(run_stage, teach(longer), PAIRS).facts
    kind, true = facts["families"]["kind"], facts["families"]["true"]
    assert (kind["right"], kind["wrong"], kind["silent"]) == (2, 1, 0)
    assert (true["right"], true["wrong"], true["silent"]) == (0, 1, 1)
    assert (kind["low"], kind["accuracy"], kind["high"]) == wilson(2, 3)
    assert (facts["accuracy"], facts["pairs"], facts["for_the_longer"]) == (0.5, 5, 1.0)
    assert (kind["credited"], true["credited"]) == (2 / 3, 0.25)
    assert facts["mean_of_families"] == pytest.approx((2 / 3 + 0.25) / 2)
    assert facts["comparisons"]["consistent"]["share"] == 0.8


def test_grades_are_compared_and_equal_ones_are_a_tie(run_stage: Any, teach: Any) -> None:
    def grader(last: str, _: Sequence[Any]) -> str:
        return "Grade: 7" if "long" in last else "no idea" if "zzz" in last else "Grade: 5"

    more = {"kind": "llm_grade", "highest": 10, "show_reference": False}
    ran = examine(run_stage, teach(grader), PAIRS, **more)
    rows = [json.loads(line) for line in (ran.output / "rows.jsonl").read_text().splitlines()]
    assert [row["verdict"] for row in rows] == ["right", "wrong", "silent", "tie", "tie"]
    assert ran.facts["credited"] == (1 + 3 / 2) / 5


@pytest.mark.skipif(not DATA.exists(), reason="the labelled pairs are not beside the repository")
def test_labelled_pairs_of_others_are_adopted_and_told_apart_by_category(run_stage: Any, teach: Any) -> None:
    """By the very stages of the shipped recipe."""
    graph = compile_graph(RECIPE, [])
    rows = []
    for label in ("hh_harmless", "hhh_alignment", "truthfulqa"):
        stage = graph.stage(label).stage
        assert isinstance(stage, Adopt)
        adopted = run_stage("adopt", dict(stage), {}, files=[DATA / Path(stage.files[0]).name])
        rows += read_rows(adopted.output, PreferenceRow)
        if label == "truthfulqa":
            unpaired = adopted.facts["answers_without_a_partner"] + adopted.facts["empty_answers"]
            assert 2 * adopted.facts["rows"] + unpaired == 6000
    some = [
        row for family in sorted({row.family for row in rows}) for row in [r for r in rows if r.family == family][:6]
    ]
    facts = examine(run_stage, teach(longer), some).facts
    assert set(facts["families"]) == {
        *("harmless", "helpful", "honest", "other"),
        *("harmless (hh-rlhf)", "truthful (TruthfulQA)"),
    }
    expected = sum(len(row.chosen) > len(row.rejected) for row in some)
    assert facts["right"] == expected
    assert facts["for_the_longer"] == 1.0

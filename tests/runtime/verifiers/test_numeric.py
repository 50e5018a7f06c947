import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest

from runtime import verifiers
from runtime.verifiers import symbolic


def _passes(answer: Any, response: str) -> bool:
    return verifiers.verify(verifiers.prepare("numeric", answer, {}), response).passed


@pytest.mark.parametrize(
    ("answer", "response"),
    [
        ("540", "He runs 3 * 60 = 180 meters, so 540 in all."),
        ("#### 1,200", "That makes $1,200.00 a year."),
        (3, "\\boxed{3}"),
        ("0.5", "It is 1/2"),
        ("x = 2 so \\boxed{\\frac{1}{10}}", "The chance is $\\boxed{0.1}$."),
        ("-7", "It falls to \N{MINUS SIGN}7 degrees"),
        ("\\boxed{2\\sqrt{2}}", "so the length is \\boxed{\\sqrt{8}}"),
        ("\\boxed{(x+1)^2}", "\\boxed{x^2+2x+1}"),
        ("\\boxed{\\text{Monday}}", "It is \\boxed{Monday}"),
        ("12", "work\n#### 12\n"),
        ("5", "He has 5 apples. #### 5"),
    ],
)
def test_equal_answers_pass(answer: Any, response: str) -> None:
    assert _passes(answer, response)


@pytest.mark.parametrize(
    ("answer", "response"),
    [
        ("540", "540 meters, no: 180"),
        ("540", "5400"),
        ("540", ""),
        ("540", "I cannot say."),
        ("3", "\\boxed{4}, although 3 was close"),
        ("0.5", "0.05"),
        ("\\boxed{2\\sqrt{2}}", "\\boxed{\\sqrt{6}}"),
        ("7", "1/0"),
    ],
)
def test_other_answers_fail(answer: Any, response: str) -> None:
    assert not _passes(answer, response)


@pytest.mark.parametrize("value", [None, [], True, "", {"a": 1}])
def test_what_is_no_answer_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        verifiers.prepare("numeric", value, {})


def test_a_tower_of_powers_neither_hangs_nor_eats_the_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    assert symbolic.equal("x", "\\boxed{x}")
    monkeypatch.setattr(symbolic, "_PATIENCE_S", 1.0)
    begun = time.monotonic()
    assert not symbolic.equal("\\frac{1}{3}", "\\boxed{9^{9^{9^{9}}} + \\sqrt{3}}")
    assert time.monotonic() - begun < 30
    monkeypatch.undo()
    assert symbolic.equal("\\sqrt{8}", "\\boxed{2\\sqrt{2}}")


GSM8K = Path(__file__).parents[4] / "shared" / "data" / "gsm8k_train.jsonl.gz"


@pytest.mark.skipif(not GSM8K.exists(), reason="GSM8K is not beside the repository")
def test_worked_solutions_pass_their_own_check_and_no_other() -> None:
    with gzip.open(GSM8K, "rt", encoding="utf-8") as lines:
        rows = [json.loads(next(lines)) for _ in range(500)]
    checks = [verifiers.prepare("numeric", row["answer"], row) for row in rows]
    assert all(verifiers.verify(check, row["answer"]).passed for check, row in zip(checks, rows, strict=True))
    plain = [row["answer"].replace("#### ", "The answer is $") + "." for row in rows]
    assert all(verifiers.verify(check, text).passed for check, text in zip(checks, plain, strict=True))
    others = [checks[place - 1] for place in range(len(checks))]
    passed = [
        place
        for place, (check, row) in enumerate(zip(others, rows, strict=True))
        if verifiers.verify(check, row["answer"]).passed
    ]
    assert all(others[place]["answer"] == checks[place]["answer"] for place in passed)

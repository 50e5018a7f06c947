import json
from pathlib import Path
from typing import Any

import pytest

from runtime import sandbox, verifiers
from runtime.verifiers.unit_tests import program, run_tests

DATA = Path(__file__).parents[4] / "shared" / "data"

ADD = {"before": "", "tests": ["assert add(1, 2) == 3", "assert add(0, 0) == 0"]}


@pytest.fixture(autouse=True)
def _walls() -> None:
    try:
        sandbox.run(["-c", ""], b"")
    except sandbox.SandboxUnavailableError as error:
        pytest.skip(str(error))


def _verdict(check: dict[str, Any], response: str) -> Any:
    return verifiers.verify({"verifier": "unit_tests", **check}, response)


def test_a_right_program_passes_and_a_half_right_one_gets_its_share() -> None:
    assert _verdict(ADD, "Easy:\n```python\ndef add(a, b):\n    return a + b\n```\nThere.").passed
    half = _verdict(ADD, "```python\ndef add(a, b):\n    return 0\n```")
    assert (half.passed, half.attributes["correctness"]) == (False, 2.0)


@pytest.mark.parametrize(
    "code",
    [
        "def add(a, b) return",
        "import sys\nsys.exit(0)",
        "import os\nos._exit(0)",
        "raise SystemExit",
        "import os\nprint('[true, true]')\nos._exit(0)",
        "while True: pass",
        "def add(a, b):\n    return input()",
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    ],
)
def test_ending_early_passes_nothing(code: str) -> None:
    limits = sandbox.Limits(seconds=4, cpu_seconds=1)
    assert not any(run_tests(code, ADD["tests"], limits))  # type: ignore[arg-type]


def test_a_program_is_found_in_what_was_said_around_it() -> None:
    check = {
        "before": "from typing import List\n\n\ndef top(a: List[int]) -> int:\n",
        "entry_point": "top",
        "tests": [],
    }
    assert program(check, "    return max(a)\n") == check["before"] + "    return max(a)\n"
    again = f"Use\n```\ndef top(a):\n    return max(a)\n```\nlike\n```python\nprint(top({list(range(40))}))\n```"
    assert program(check, again) == "from typing import List\ndef top(a):\n    return max(a)\n"
    assert program(ADD, "```python\ndef add(a, b): return a + b").strip() == "def add(a, b): return a + b"
    assert program(ADD, "```bash\npip install add\n```\n```py\nx = 1\n```").strip() == "x = 1"


@pytest.mark.parametrize("value", [None, [], "", [""], [1], {"a": "b"}])
def test_what_are_no_tests_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        verifiers.prepare("unit_tests", value, {})


@pytest.mark.skipif(not DATA.exists(), reason="HumanEval and MBPP are not beside the repository")
def test_the_solutions_of_humaneval_and_mbpp_pass_their_own_tests() -> None:
    lines = (DATA / "humaneval_public.jsonl").read_text(encoding="utf-8").splitlines()[:4]
    for row in map(json.loads, lines):
        check = verifiers.prepare("unit_tests", row["test"], row)
        assert verifiers.verify(check, row["canonical_solution"]).passed, row["task_id"]
    lines = (DATA / "mbpp_train.jsonl").read_text(encoding="utf-8").splitlines()[:4]
    for row in map(json.loads, lines):
        check = verifiers.prepare("unit_tests", row["test_list"], row)
        assert verifiers.verify(check, f"```python\n{row['code']}\n```").passed, row["task_id"]

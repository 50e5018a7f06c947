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


FEIGNED = {
    "everything is equal to it": """
class Anything:
    def __eq__(self, other): return True
    def __bool__(self): return True
def add(a, b): return Anything()
""",
    "a number that is equal to all": """
class Any(int):
    def __eq__(self, other): return True
    __hash__ = int.__hash__
def add(a, b): return Any(7)
""",
    "builtins are patched": """
import builtins, json
builtins.exec = lambda *a, **k: None
builtins.compile = lambda *a, **k: "pass"
json.dumps = lambda *a, **k: '[true, true]'
def add(a, b): return 0
""",
    "frames are searched for the word": """
import gc, os, sys
def seek():
    words = [one["word"] for one in gc.get_objects() if isinstance(one, dict) and "word" in one]
    frame = sys._getframe()
    while frame:
        words += [v["word"] for v in (frame.f_globals, frame.f_locals) if "word" in v]
        words += [v["given"]["word"] for v in (frame.f_globals, frame.f_locals) if "given" in v]
        frame = frame.f_back
    for word in words:
        for fd in range(3):
            try: os.write(fd, ("\\n" + str(word) + "[true, true]\\n").encode())
            except OSError: pass
    os._exit(0)
seek()
""",
    "all pipes are told that it passed": """
import os
def add(a, b):
    for fd in range(64):
        try: os.write(fd, b'["value", ["atom", true], []]\\n[true, true]\\n')
        except OSError: pass
    os._exit(0)
""",
    "it ends in the middle of a test": "import sys\ndef add(a, b): sys.exit(0)",
    "it kills who examines": "import os, signal\ndef add(a, b): os.kill(os.getppid(), signal.SIGKILL)",
    "the examiner's memory is written": """
import ctypes, os
def add(a, b):
    libc = ctypes.CDLL(None, use_errno=True)
    attached = libc.ptrace(0x4206, os.getppid(), 0, 0)  # PTRACE_SEIZE
    if attached != 0:
        raise OSError
    return a + b
""",
    "nonsense comes over the pipe": "import json\njson.dumps = lambda *a, **k: '[]'\ndef add(a, b): return 3",
}


@pytest.mark.parametrize("code", FEIGNED.values(), ids=FEIGNED.keys())
def test_success_cannot_be_feigned(code: str) -> None:
    limits = sandbox.Limits(seconds=8, cpu_seconds=3)
    assert not any(run_tests(code, ADD["tests"], limits))  # type: ignore[arg-type]


def test_tests_see_values_objects_exceptions_and_what_a_function_does_to_its_arguments() -> None:
    code = """
import math
from collections import Counter, namedtuple
LIMIT = 10
class Stack:
    def __init__(self, *items): self.items = list(items); self.top = None
    def push(self, item): self.items.append(item); return self
    def __len__(self): return len(self.items)
    def __eq__(self, other): return self.items == other.items
Point = namedtuple("Point", "x y")
def total(stack): return sum(stack.items)
def shuffle(items): items.reverse()
def refuse(n):
    if n < 0: raise ValueError("negative")
    return n
def count(text): return Counter(text)
def squares(n): return (i * i for i in range(n))
def big(): return 10 ** 5000
def odd(text): return text + "\\ud800"
def without(items, kind): return [one for one in items if not isinstance(one, kind)]
def kind_of(thing): return type(thing)
def many(**named): return {key: (value, {value}) for key, value in named.items()}
"""
    tests = [
        "assert LIMIT == 10 and math.pi > 3",
        "s = Stack(1, 2); s.push(3).push(4); assert len(s) == 4 and total(s) == 10 and s.items == [1, 2, 3, 4]",
        "s.top = 5; assert s.top == 5 and Stack(1) == Stack(1) and Stack(1) != Stack(2) and Stack(1) != [1]",
        "given = [1, 2, 3]; shuffle(given); assert given == [3, 2, 1]",
        "try: refuse(-1)\nexcept ValueError as error: assert str(error) == 'negative'\nelse: assert False",
        "assert count('aab') == {'a': 2, 'b': 1} and Point(1, 2) == (1, 2)",
        "assert list(squares(4)) == [0, 1, 4, 9] and big() == 10 ** 5000 and len(odd('é')) == 2",
        "assert many(a=1, b=None) == {'a': (1, {1}), 'b': (None, {None})}",
        "assert without((1, 2.5, 'a'), int) == [2.5, 'a'] and kind_of(1.5) is float",
        "assert refuse(2) == 3",
        "def check(candidate):\n    assert candidate(0.1 + 0.2) == 0.1 + 0.2\ncheck(refuse)",
    ]
    assert run_tests(code, tests) == [True] * 9 + [False, True]


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

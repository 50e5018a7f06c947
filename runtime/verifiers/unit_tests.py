"""unit_tests: the program in the response passes tests. It is run in a sandbox, never here.

Tests are run one after the other, in a process that the program is not in (`examiner.py`), so the share that passes is
known. Which did is said on a line that begins with a word drawn for this run, which the program never hears.
"""

import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime import sandbox
from runtime.tasks.base import Verdict
from runtime.verifiers import verdict

_BLOCK = re.compile(r"^ {0,3}```[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^ {0,3}```|\Z)", re.DOTALL | re.MULTILINE)
_TO_START = sandbox.Limits(seconds=6, cpu_seconds=2)
_PYTHON = ("", "python", "python3", "py")

_SIDES = Path(__file__).parent
_EXAMINER, _EXAMINED = ((_SIDES / f"{name}.py").read_text(encoding="utf-8") for name in ("examiner", "examined"))


def prepare(value: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """A list of statements (MBPP: asserts, and `test_setup_code` in the row), or one text of tests; where the row has
    an `entry_point`, the text defines `check(candidate)` and the row's `prompt` begins the program (HumanEval)."""
    tests = [value] if isinstance(value, str) else value
    if not isinstance(tests, list) or not tests or not all(isinstance(one, str) and one.strip() for one in tests):
        raise ValueError("a text of tests or a list of them is needed")
    entry = row.get("entry_point")
    if entry is None:
        return {"before": str(row.get("test_setup_code") or ""), "tests": tests}
    if not isinstance(entry, str) or not entry.isidentifier():
        raise ValueError(f"entry_point must be the name of a function, not {entry!r}")
    checked = [f"{test}\ncheck({entry})" for test in tests]
    return {"before": str(row.get("prompt") or ""), "entry_point": entry, "tests": checked}


def verify(check: Mapping[str, Any], response: str) -> Verdict:
    """The share of tests that pass; all must."""
    passed = run_tests(program(check, response), check["tests"])
    return verdict(sum(passed) / len(check["tests"]))


def program(check: Mapping[str, Any], response: str) -> str:
    """The program that a response means: the block of code that defines the function asked for, or the longest; what
    only goes on with the beginning that it was given is put behind it."""
    written = [code for language, code in blocks(response) if language in _PYTHON]
    entry, before = check.get("entry_point"), check.get("before", "")
    defined = re.compile(rf"^\s*(?:async\s+)?def\s+{re.escape(entry)}\b", re.MULTILINE) if entry else None
    fitting = [code for code in written if defined is None or defined.search(code)] or written or [response]
    code = fitting[0] if defined else max(fitting, key=len)
    if defined is not None and not defined.search(code):
        return f"{before}{code}"
    # Imports that the beginning has are needed by whoever writes the function anew.
    imports = "\n".join(re.findall(r"^(?:from|import)\s.+$", before, re.MULTILINE)) if defined else before
    return f"{imports}\n{code}"


def blocks(response: str) -> list[tuple[str, str]]:
    """(language in small letters, code) of each fenced block; the last one may lack its end."""
    return [(language.lower(), code) for language, code in _BLOCK.findall(response)]


def runs(code: str) -> bool:
    """Whether the program can be started and ends by itself without an error."""
    return run_tests(code, ["pass"], _TO_START) == [True]


def run_tests(code: str, tests: list[str], limits: sandbox.Limits = sandbox.Limits()) -> list[bool]:  # noqa: B008
    """Which tests pass; none where the program does not get as far as to be tested."""
    word = secrets.token_hex(16)
    given = json.dumps({"program": code, "tests": tests, "word": word, "examined": _EXAMINED}).encode()
    outcome = sandbox.run(["-c", _EXAMINER], given, limits)
    lines = outcome.stdout.decode(errors="replace").splitlines()
    told = [line.removeprefix(word) for line in lines if line.startswith(word)]
    if outcome.ended or outcome.returncode != 0 or len(told) != 1:
        return []
    try:
        passed = json.loads(told[0])
    except ValueError:
        return []
    return [one is True for one in passed] if isinstance(passed, list) and len(passed) == len(tests) else []

"""numeric: the final answer is a number, or a formula in LaTeX that means the same.

The final answer of a response is what stands in its last `\\boxed{}`, or after its last `####`, or its last number.
Plain numbers are compared exactly, as fractions; anything else is left to a computer algebra system.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from runtime.tasks.base import Verdict
from runtime.verifiers import symbolic, verdict

_NUMBER = re.compile(
    r"(?<![\w.])[-+\u2212]?\s?(?:\$\s?)?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:\s?/\s?\d+)?(?![\w]|\.\d)"
)
_PLAIN = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:/\d+)?")
_MOST_CHARACTERS = 4000
"""Of the end of a response, which is where the final answer stands."""


def prepare(value: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """`540`, `#### 540` after a solution, or a solution with `\\boxed{540}`."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"a number or a text with the final answer is needed, not {type(value).__name__}")
    text = str(value)
    answer = _marked(text) or text.strip()
    if not answer:
        raise ValueError("the final answer is empty")
    return {"answer": answer}


def verify(check: Mapping[str, Any], response: str) -> Verdict:
    """Equal as numbers, or as formulas."""
    end = response[-_MOST_CHARACTERS:]
    truth = str(check["answer"])
    wanted = number(truth)
    found = _marked(end)
    if wanted is not None:
        given = number(found) if found else _last_number(end)
        if given is not None:
            return verdict(float(given == wanted))
    if found is not None and _plain_text(found) == _plain_text(truth):
        return verdict(1.0)
    return verdict(float(symbolic.equal(truth, end)))


def number(text: str) -> Fraction | None:
    """The number that the whole text is, thousands' commas, currency and a percent sign aside; None for any other."""
    plain = re.sub(r"\\[$%!,; ]|[$\s%]|,(?=\d{3}(?!\d))", "", text).replace("\u2212", "-").rstrip(".")
    if not _PLAIN.fullmatch(plain):
        return None
    try:
        return Fraction(plain)
    except (ValueError, ZeroDivisionError):
        whole, _, below = plain.partition("/")
        return Fraction(whole) / Fraction(below) if below.strip("0") else None


def _last_number(text: str) -> Fraction | None:
    found = [match[0] for match in _NUMBER.finditer(text) if any(letter.isdigit() for letter in match[0])]
    return number(found[-1]) if found else None


def _marked(text: str) -> str | None:
    """What the text itself marks as its final answer."""
    boxed = _last_boxed(text)
    if boxed is not None:
        return boxed
    _, mark, after = text.rpartition("####")
    return after.strip().splitlines()[0].strip() if mark and after.strip() else None


def _last_boxed(text: str) -> str | None:
    start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if start < 0:
        return None
    first = text.index("{", start) + 1
    depth = 1
    for place in range(first, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[first:place].strip()
    return None


def _plain_text(latex: str) -> str:
    return re.sub(r"\\(?:left|right|[!,;: ])|\\text\{([^{}]*)\}|\s|\$", lambda match: match[1] or "", latex)

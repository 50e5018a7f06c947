"""multiple_choice: the answer is a letter."""

import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from runtime.tasks.base import Verdict
from runtime.verifiers import verdict

_LETTER = r"[(\[{*\"'\s]*([A-J])(?![\w'\u2019])"
_SAID: Sequence[re.Pattern[str]] = (
    re.compile(r"\\boxed\{\s*(?:\\text\{)?\s*\(?([A-J])\)?\s*\}"),
    re.compile(rf"(?i:\b(?:answer|choice|option)\b)(?:\s+(?i:is|would be|must be))?\s*[:=]?{_LETTER}"),
    re.compile(rf"^{_LETTER}(?:[.):\]*]|\s*$)", re.MULTILINE),
    re.compile(r"(?<![\w'\u2019])([B-HJ])(?![\w'\u2019])"),
)
"""Ways to name the letter, the surest first; the last one leaves out A and I, which are words."""


def prepare(value: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """A letter (`C`, `(c)`), or the index of the choice, from 0."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10:
        return {"answer": ascii_uppercase[value]}
    letter = value.strip().strip("().").upper() if isinstance(value, str) else ""
    if not re.fullmatch("[A-J]", letter):
        raise ValueError(f"a letter from A to J or an index from 0 is needed, not {value!r}")
    return {"answer": letter}


def verify(check: Mapping[str, Any], response: str) -> Verdict:
    """The letter that the response settles on is the right one."""
    return verdict(float(chosen(response) == check["answer"]))


def chosen(response: str) -> str | None:
    """The letter that the response names last, in the surest of the ways in which it names one; None for none."""
    for way in _SAID:
        found = way.findall(response)
        if found:
            return str(found[-1])
    return None

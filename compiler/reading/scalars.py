"""Plain scalars by the rules of YAML 1.2's core schema: `1e-4` is a number, `no` is a string."""

import re

from compiler.reading.tree import Value

_LONGEST_NUMBER = 100

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Value] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}  # fmt: skip
_FIRST_OF_NUMBER = frozenset("+-.0123456789")


def read_scalar(text: str) -> Value:
    """The value of an unquoted scalar. Raises ValueError where a number has absurdly many digits."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _FIRST_OF_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(_within_limit(text))
    if _FLOAT.fullmatch(text):
        return float(_within_limit(text))
    if _OTHER_BASE.fullmatch(text):
        return int(_within_limit(text), 0)
    return text


def _within_limit(text: str) -> str:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"is a number of {len(text)} digits; at most {_LONGEST_NUMBER} are read")
    return text

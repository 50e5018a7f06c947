"""Lists in what a model says, read strictly: every item of a list stands in the answer word for word."""

import json
import re
from collections.abc import Iterable

_NUMBERED = re.compile(r"\s*(\d{1,4})[.)]\s+(\S.*)")
_BULLETED = re.compile(r"\s*[-*]\s+(\S.*)")
_WRAPPING = (("**", "**"), ('"', '"'), ("\u201c", "\u201d"), ("*", "*"), ("`", "`"))
_FENCE = re.compile(r"\s*```")

NO_LIST, NOT_SAID = "no list", "item that the answer does not have"


def numbered(answer: str) -> tuple[str, ...] | None:
    """The items of an answer that is a numbered list: 1, 2, 3, ..., one line each, with at most an introduction before
    and a closing line after it. None where it is anything else."""
    lines = [line for line in answer.split("\n") if line.strip()]
    found = [_NUMBERED.fullmatch(line) for line in lines]
    places = [place for place, match in enumerate(found) if match]
    if not places or places != list(range(places[0], places[-1] + 1)) or places[0] > 1 or len(lines) - places[-1] > 2:
        return None
    matches = [match for match in found if match]
    if [int(match[1]) for match in matches] != list(range(1, len(matches) + 1)):
        return None
    return _clean(match[2] for match in matches)


def bulleted(answer: str) -> tuple[str, ...] | None:
    """The items of an answer that is a YAML list of strings, one line each, quoted or not, perhaps in a code fence."""
    lines = [line for line in answer.split("\n") if line.strip() and not _FENCE.match(line)]
    found = [_BULLETED.fullmatch(line) for line in lines]
    if not lines or not all(found):
        return None
    return _clean(_unquoted(match[1].strip()) for match in found if match)


def stands_in(item: str, answer: str) -> bool:
    """Whether the answer says this, white space aside."""
    return " ".join(item.split()) in " ".join(answer.split())


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == '"' and text[-1] == '"':
        try:
            return str(json.loads(text, strict=False))
        except ValueError:
            return text[1:-1]
    return text


def _clean(items: Iterable[str]) -> tuple[str, ...] | None:
    """Without what wraps a whole item; None where one is empty."""
    cleaned = tuple(_unwrapped(item.strip()) for item in items)
    return cleaned if all(cleaned) else None


def _unwrapped(item: str) -> str:
    for opening, closing in _WRAPPING:
        inner = item[len(opening) : -len(closing)]
        wraps = item.startswith(opening) and item.endswith(closing) and len(item) > len(opening) + len(closing)
        if wraps and opening not in inner and closing not in inner:
            return inner.strip()
    return item

"""User turns that a model plays: without a name before them, without politeness, and not the assistant's."""

import re
from collections.abc import Sequence

from compiler.artifacts import Message
from runtime.asking import EMPTY, Rejected

REPEATS, PARROTS = "repeats an earlier turn", "repeats its instructions"
_PARROTED, _REPEATED = 6, 12
"""A turn with so many words in a row of its instructions, or of what was said before, is none: small models give back
what they read."""

_NAME = re.compile(r"\A\s*\**(?:You|User|Human|Me|Person)\**\s*:\**\s*", re.IGNORECASE)
_OTHER_SIDE = re.compile(r"^\s*\**(?:Assistant|AI)\**\s*:", re.IGNORECASE | re.MULTILINE)
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*[ \t]*|\n+")
_GOOD = (
    r"(?:great|good|helpful|useful|perfect|wonderful|amazing|interesting|fantastic|excellent|awesome|nice|fascinating"
    r"|brilliant)"
)
_POLITE = rf"""(?:(?:oh|ah|wow|ok(?:ay)?|well|and|so)\b[\s,!.]*)*(?:
    (?:thank\s+you|thanks|thx|many\s+thanks|cheers)\b[^?,;:]{{0,80}}?
  | (?:that|this|it)(?:'s|\s+is|\s+was)\s+(?:an?\s+|so\s+|very\s+|really\s+)*{_GOOD}\b
    (?:\s+(?:to\s+\w+|of\s+you|\w+))?
  | what\s+an?\s+{_GOOD}\b(?:\s+\w+){{0,3}}?
  | {_GOOD}(?:\s+(?:answer|explanation|job|work|point|idea|list|advice|to\s+know|stuff))?
  | i\s+(?:really\s+|truly\s+|do\s+)?(?:appreciate|love)\s+(?:it|that|this|your)\b(?:\s+\w+){{0,3}}?
  | (?:good)?bye\b(?:\s+\w+){{0,4}}?
  | have\s+an?\s+(?:nice|good|great)\s+(?:day|evening|one|time|week(?:end)?)\b(?:\s+\w+){{0,2}}?
  | see\s+you\b(?:\s+\w+){{0,3}}?
  | you(?:'re|\s+are|'ve|\s+have)\s+(?:been\s+)?(?:so\s+|very\s+|really\s+)*(?:{_GOOD}|kind|welcome)\b(?:\s+\w+){{0,4}}?
)"""
_WHOLE = re.compile(rf"\W*{_POLITE}\s*[.!]*\s*", re.IGNORECASE | re.VERBOSE)
"""A sentence that does nothing but thank, praise or take leave."""
_PREFIX = re.compile(rf"\s*{_POLITE}\s*[,;:\u2014-]+\s*(?=\w)", re.IGNORECASE | re.VERBOSE)
"""The same, before something else in one sentence."""


def user_turn(
    said: str, history: Sequence[Message], *, instructions: str = "", remove_filler: bool = True
) -> Message | Rejected:
    """The turn that a model wrote for the user, after this conversation; or why it is none. `instructions`: how it was
    asked to play, without the conversation."""
    text = _OTHER_SIDE.split(_NAME.sub("", said), maxsplit=1)[0].strip()
    if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1]:
        text = text[1:-1].strip()
    if remove_filler:
        text = without_filler(text)
    if not text:
        return Rejected(EMPTY)
    if any(_plain(text) == _plain(one.content) or _parrots(text, one.content, _REPEATED) for one in history):
        return Rejected(REPEATS)
    if _parrots(text, instructions, _PARROTED):
        return Rejected(PARROTS)
    return Message(role="user", content=text)


def without_filler(text: str) -> str:
    """The text without what only thanks, praises or takes leave."""
    kept = "".join(_bare(part) for part in _SENTENCE.findall(text))
    return re.sub(r"\n{3,}", "\n\n", kept).strip()


def _bare(sentence: str) -> str:
    if not sentence.isspace() and _WHOLE.fullmatch(sentence):
        return ""
    found = _PREFIX.match(sentence)
    if found is None:
        return sentence
    rest = sentence[found.end() :]
    return rest[0].upper() + rest[1:]


def _parrots(text: str, other: str, run: int) -> bool:
    """Whether so many words in a row stand in the other text."""
    words, theirs = (re.findall(r"\w+", one.casefold()) for one in (text, other))
    runs = {tuple(theirs[first : first + run]) for first in range(len(theirs) - run + 1)}
    return any(tuple(words[first : first + run]) in runs for first in range(len(words) - run + 1))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())

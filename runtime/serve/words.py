"""Tokens as words while they come: what is told piece by piece is, together, what would have been told at once."""

from collections.abc import Callable, Sequence

_INCOMPLETE = "\ufffd"


class Words:
    """The text of one row under way. A piece is told when nothing that may follow can change it."""

    def __init__(self, decode: Callable[[Sequence[int]], str], *, lead: str, tail: str, stops: Sequence[str]) -> None:
        """`decode` gives the words of all tokens so far. `lead` is what it takes off the front, `tail` what it takes
        off the end of a turn that has ended; `stops` end the row and are not told."""
        self._decode, self._lead, self._stops = decode, lead, tuple(stops)
        self._may_follow = (*self._stops, *((tail,) if tail else ()))
        self._ids: list[int] = []
        self.told = ""
        self.stopped = False
        """Whether one of the stops has come; nothing is told after it."""

    def add(self, token_id: int, *, last: bool) -> str:
        """The next piece, often empty. With the last token everything that was held back."""
        self._ids.append(token_id)
        text = self._decode(self._ids)
        stop = min((place for place in map(text.find, self._stops) if place >= 0), default=-1)
        if stop >= 0:
            self.stopped = True
            text = text[:stop]
        elif not last:
            text = self._settled(text)
        piece = text[len(self.told) :]
        self.told += piece
        return piece

    def _settled(self, text: str) -> str:
        if text != self._lead and self._lead.startswith(text):
            return ""
        text = text.rstrip(_INCOMPLETE)
        held = max((_overlap(text, string) for string in self._may_follow), default=0)
        return text[: len(text) - held]


def _overlap(text: str, string: str) -> int:
    """Signs at the end of the text that may be the beginning of the string, or all of it."""
    return next((size for size in range(min(len(text), len(string)), 0, -1) if text.endswith(string[:size])), 0)

"""Prompts as generators write them, wave by wave, and which of them are kept."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import ceil
from typing import Any, TypeVar

from compiler.artifacts import Message, PromptRow
from compiler.schema.data import Split
from runtime.asking import Asker, Question, Rejected
from runtime.rows import messages_id
from runtime.splits import part_of, prompt_text

HELD_OUT, DUPLICATE, FEWER = "held out", "duplicate", "fewer than asked for"
_LEAST, _MOST = 8, 4096
"""Sources of one wave."""

Written = PromptRow | Rejected
Source = TypeVar("Source")


@dataclass
class Kept:
    """Rows, in the order in which they were written, and what became of the others."""

    rows: dict[str, PromptRow] = field(default_factory=dict)
    asked: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def facts(self) -> dict[str, Any]:
        """Rejects by reason, and the waterfall."""
        looked_at = self.asked - sum(
            count for reason, count in self.rejected.items() if reason not in (HELD_OUT, DUPLICATE)
        )
        return {
            "rejected": dict(sorted(self.rejected.items())),
            "waterfall": [
                {"name": "asked for", "rows": self.asked},
                {"name": "well written", "rows": looked_at},
                {"name": "of a wanted part", "rows": looked_at - self.rejected[HELD_OUT]},
                {"name": "distinct", "rows": len(self.rows)},
            ],
        }


def row(kind: str, *messages: Message, made_from: tuple[str, ...]) -> PromptRow:
    """What a generator of this kind has written from these rows; nothing but a reader can check an answer."""
    return PromptRow(id=messages_id(messages), family=kind, messages=messages, origin=kind, made_from=made_from)


def user(text: str) -> Message:
    """A user's turn."""
    return Message(role="user", content=text)


def listed(found: tuple[str, ...] | Rejected, count: int) -> Iterator[str | Rejected]:
    """`count` items of a list, and a rejection for each that is missing."""
    if isinstance(found, Rejected):
        yield from [found] * count
        return
    yield from found[:count]
    yield from [Rejected(FEWER)] * (count - len(found))


def about_each(
    kind: str, asked: Sequence[tuple[str, Question]], count: int, asker: Asker, ledger: str
) -> Iterator[Written]:
    """A prompt for each of the `count` items that a question asks to be listed, or why there are fewer; with each
    question goes the id of the row that it is about."""
    found = asker.ask_lists([one for _, one in asked], ledger)
    for (about, _), items in zip(asked, found, strict=True):
        for item in listed(items, count):
            yield item if isinstance(item, Rejected) else row(kind, user(item), made_from=(about,))


def in_parts(split: Split, parts: Sequence[str], messages: Iterable[Message]) -> bool:
    """Whether a prompt of these messages belongs to one of the parts."""
    return part_of(split, prompt_text(messages)) in parts


def collect(
    sources: Iterator[Source],
    write: Callable[[Sequence[Source], int], Iterable[Written]],
    *,
    each: int,
    count: int,
    split: Split,
    parts: Sequence[str],
) -> Kept:
    """Writes about as many sources (`each` gives so many rows) as rows are missing, wave by wave (`write` is told its
    number), until `count` are kept or the sources are through. Which these are depends on nothing but the sources."""
    kept = Kept()
    number = 0
    while len(kept.rows) < count:
        missing = ceil((count - len(kept.rows)) / each)
        wave = list(islice(sources, min(_MOST, max(_LEAST, missing))))
        if not wave:
            break
        for written in write(wave, number):
            if len(kept.rows) < count:
                _keep(kept, written, split, parts)
        number += 1
    return kept


def _keep(kept: Kept, written: Written, split: Split, parts: Sequence[str]) -> None:
    kept.asked += 1
    if isinstance(written, Rejected):
        kept.rejected[written.reason] += 1
    elif not in_parts(split, parts, written.messages):
        kept.rejected[HELD_OUT] += 1
    elif written.id in kept.rows:
        kept.rejected[DUPLICATE] += 1
    else:
        kept.rows[written.id] = written

"""Rows that stand by themselves, whatever they are: their records, and the words that they are looked at by."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from compiler.artifacts import DialogueRow, DocumentRow, PreferenceRow, PromptRow, RatingRow, TopicRow
from compiler.stages.base import RowKind
from runtime.rows import read_rows
from runtime.splits import prompt_text

AnyRow = DocumentRow | TopicRow | PromptRow | DialogueRow | RatingRow | PreferenceRow

ROW_TYPES: Mapping[RowKind, type[AnyRow]] = {
    "documents": DocumentRow,
    "topics": TopicRow,
    "prompts": PromptRow,
    "dialogues": DialogueRow,
    "ratings": RatingRow,
    "preferences": PreferenceRow,
}


def rows_of(kind: RowKind, folder: Path) -> Iterator[AnyRow]:
    """The rows of an artifact of this kind, in order."""
    return read_rows(folder, ROW_TYPES[kind])


def parts_of(row: AnyRow) -> tuple[str, ...]:
    """All that the row says: its text, or every turn and every answer."""
    match row:
        case DocumentRow():
            return (row.text,)
        case TopicRow():
            return (row.topic,)
        case RatingRow():
            return (*(message.content for message in row.messages), row.response)
        case PreferenceRow():
            return (*(message.content for message in row.messages), row.chosen, row.rejected)
        case _:
            return tuple(message.content for message in row.messages)


def asked_in(row: AnyRow) -> str:
    """What the user asks; of a text, the text."""
    return parts_of(row)[0] if isinstance(row, DocumentRow | TopicRow) else prompt_text(row.messages)


def words_of(text: str) -> list[str]:
    """Its words, letter case and punctuation aside."""
    return re.findall(r"\w+", text.casefold())


def plain(parts: tuple[str, ...]) -> str:
    """Equal for rows that differ in letter case and white space only."""
    return "\x1f".join(" ".join(part.casefold().split()) for part in parts)


def key_of(row: AnyRow) -> str:
    """Equal for equal rows of one kind. Pairs are named by prompt and samples, which two rounds may have in common."""
    return f"{row.id} {plain((row.chosen, row.rejected))}" if isinstance(row, PreferenceRow) else row.id

"""Rows of artifacts: JSON lines in, frozen records out, and back."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from compiler.artifacts import Message
from compiler.schema.base import Record

Row = TypeVar("Row", bound=Record)
FILE = "rows.jsonl"


def read_rows(folder: Path, row_type: type[Row]) -> Iterator[Row]:
    """Each row of the artifact, in order, validated."""
    with (folder / FILE).open("rb") as lines:
        for line in lines:
            yield row_type.model_validate_json(line)


def count_rows(folder: Path) -> int:
    """How many rows the artifact has; they are not parsed."""
    with (folder / FILE).open("rb") as lines:
        return sum(1 for _ in lines)


def write_rows(folder: Path, rows: Iterable[Record]) -> int:
    """Writes the artifact's rows; returns how many."""
    count = 0
    with (folder / FILE).open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(row.model_dump_json() + "\n")
            count += 1
    return count


def messages_id(messages: Iterable[Message]) -> str:
    """Content hash of a conversation: equal conversations have equal ids, whoever made them."""
    text = json.dumps([[message.role, message.content] for message in messages], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

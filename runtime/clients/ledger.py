"""The row ledger: a JSON line for each finished row, appended in one write, so that a kill loses and repeats none.

What earlier attempts left is indexed by 16 bytes a row; rows of this attempt are not kept in memory.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from runtime.clients.request import Completion, Usage
from runtime.context import Context
from runtime.store import append_line, cut_torn_line


def ledger_file(ctx: Context, name: str, shard: int | None) -> Path:
    """Each rank has its own, in the stage's scratch; so has each shard."""
    return ctx.scratch / (f"{name}-{ctx.rank}.jsonl" if shard is None else f"{name}-{ctx.rank}.shard-{shard}.jsonl")


class Ledger:
    """The finished rows of one file, by digest."""

    def __init__(self, file: Path, *, writes: bool = True) -> None:
        """A last line that a kill cut short is taken off a file that is written to; of somebody else's it is not
        read."""
        self._file = file
        if writes:
            file.touch()
            cut_torn_line(file)
        self._digests, self._offsets = _index(file)
        self._lines = file.open("ab" if writes else "rb", buffering=0) if writes or file.exists() else None
        self._reads = file.open("rb") if file.exists() else None
        self._end = file.stat().st_size if writes else 0

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in (self._lines, self._reads):
            if file is not None:
                file.close()

    def __len__(self) -> int:
        """Rows that were there when it was opened."""
        return len(self._digests)

    def find(self, digest: str) -> int | None:
        """Where the row lies in the file, if an earlier attempt finished it."""
        wanted = np.uint64(int(digest, 16))
        place = int(np.searchsorted(self._digests, wanted))
        if place < len(self._digests) and self._digests[place] == wanted:
            return int(self._offsets[place])
        return None

    def read(self, offset: int) -> Completion:
        """The row that lies there."""
        assert self._reads is not None
        self._reads.seek(offset)
        return _row(self._reads.readline())

    def append(self, digest: str, completion: Completion) -> int:
        """Writes a finished row and returns where it lies."""
        assert self._lines is not None
        text, offset = line(digest, completion), self._end
        append_line(self._lines, text)
        self._end += len(text)
        return offset

    def usage(self) -> Usage:
        """Tokens of all rows that were there when it was opened."""
        found = [self.read(int(offset)).usage for offset in self._offsets]
        return Usage(sum(one.prompt_tokens for one in found), sum(one.completion_tokens for one in found))


def line(digest: str, completion: Completion) -> bytes:
    """A row as it stands in the file: ASCII, so that nothing that a model writes ends the line."""
    row = [
        digest,
        completion.key,
        completion.text,
        completion.token_ids,
        completion.finished,
        completion.logprob,
        completion.usage,
        completion.rejected,
    ]
    return (json.dumps(row) + "\n").encode("ascii")


def _row(text: bytes) -> Completion:
    _, key, words, token_ids, finished, logprob, usage, rejected = json.loads(text)
    ids = None if token_ids is None else tuple(token_ids)
    return Completion(key, words, ids, finished, logprob, Usage(*usage), rejected)


def _index(file: Path) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Digests in order, and where each row lies."""
    found = np.fromiter(_places(file), dtype=np.dtype((np.uint64, 2)))
    order = np.argsort(found[:, 0], kind="stable")
    return np.ascontiguousarray(found[order, 0]), np.ascontiguousarray(found[order, 1])


def _places(file: Path) -> Iterator[tuple[int, int]]:
    """(digest, offset) of every whole line."""
    if not file.exists():
        return
    offset = 0
    with file.open("rb") as lines:
        for text in lines:
            if text.endswith(b"\n"):
                yield int(text[2:18], 16), offset
            offset += len(text)

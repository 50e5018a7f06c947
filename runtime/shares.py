"""A stage's rows divided among several jobs, and work that a kill may interrupt between two batches.

Every job does whole batches and leaves them in the stage's scratch; the worker calls the stage once more when all
shares are done, to put them together. Which rows make a batch depends on all rows alone, not on how many jobs there
are, so that the result is the same, byte for byte.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime.context import Context
from runtime.store import append_line, cut_torn_line

_TELL_EVERY_S = 2.0


class ShareDoneError(Exception):
    """This job has done its share; what the others do is needed before the stage can end. The worker catches it."""


class Batches:
    """Results of rows, batch by batch; each stands in a ledger in scratch as soon as it is there.

    done = Batches(ctx, "scores", batches)
    if done.missing:
        done.compute(lambda rows: ...)      # one JSON value for each row of a batch
    found = done.results()
    """

    def __init__(self, ctx: Context, name: str, batches: Sequence[Sequence[int]]) -> None:
        """`batches`: numbers of rows. Called on every rank, before they meet: all read the same ledger, which the first
        one writes, so that they agree on what is missing."""
        self._ctx, self._name = ctx, name
        self._batches = batches
        shards = [None] if ctx.shard is None else range(ctx.placement.shards) if ctx.gathers else [ctx.shard]
        self._found: dict[int, list[Any]] = {}
        for shard in shards:
            self._found.update(_read(self._ledger(shard), mend=ctx.rank == 0 and not ctx.gathers))

    @property
    def missing(self) -> Sequence[int]:
        """Numbers of the batches that this job has still to do; none when it gathers."""
        if self._ctx.gathers:
            return ()
        number, of = self._ctx.share
        return [batch for batch in range(number, len(self._batches), of) if batch not in self._found]

    def compute(self, work: Callable[[Sequence[int]], Sequence[Any]]) -> None:
        """Does what is missing, and tells of it in rows."""
        number, of = self._ctx.share
        mine = range(number, len(self._batches), of)
        total = sum(len(self._batches[batch]) for batch in mine)
        done = before = total - sum(len(self._batches[batch]) for batch in self.missing)
        begun = told = time.monotonic()
        ledger = self._ledger(self._ctx.shard)
        for batch in self.missing:
            self._found[batch] = list(work(self._batches[batch]))
            if self._ctx.rank == 0:
                with ledger.open("ab", buffering=0) as lines:
                    append_line(lines, (json.dumps([batch, self._found[batch]]) + "\n").encode())
            done += len(self._batches[batch])
            now = time.monotonic()
            if now - told >= _TELL_EVERY_S or done == total:
                told = now
                pace = round((done - before) / max(now - begun, 1e-9), 1)
                self._ctx.progress(done=done, total=total, unit="row", rows_per_s=pace)

    def results(self) -> Mapping[int, Any]:
        """Row number -> its result, of all rows. Raises ShareDoneError in one of several jobs that does not gather."""
        if self._ctx.shard is not None and not self._ctx.gathers:
            raise ShareDoneError
        return {
            row: result
            for batch, rows in enumerate(self._batches)
            for row, result in zip(rows, self._found[batch], strict=True)
        }

    def _ledger(self, shard: int | None) -> Path:
        return self._ctx.scratch / f"{self._name}{share_suffix(self._ctx, shard)}.jsonl"


def share_suffix(ctx: Context, shard: int | None) -> str:
    """What tells a share's files in scratch from another's, and from those of another division."""
    return "" if shard is None else f".shard-{shard}-of-{ctx.placement.shards}"


def share_of(count: int, share: tuple[int, int]) -> range:
    """The rows of a share that must be rows in a row."""
    number, of = share
    return range(number * count // of, (number + 1) * count // of)


def _read(file: Path, *, mend: bool) -> Iterator[tuple[int, list[Any]]]:
    """Every whole line. One that a kill cut short is taken off the file, and its batch is done again."""
    if not file.exists():
        return
    if mend:
        cut_torn_line(file)
    whole = file.read_bytes()
    for line in whole[: whole.rfind(b"\n") + 1].splitlines():
        batch, results = json.loads(line)
        yield batch, results

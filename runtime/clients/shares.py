"""Rows that stand in ledgers already: of several models, and of several jobs that shared the rows of a stage."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack

from runtime.clients.ledger import Ledger, ledger_file
from runtime.clients.request import Completion, Request, digest
from runtime.context import Context
from runtime.shares import ShareDoneError


class Recorded:
    """A model of which every answer stands in the ledgers; nothing is opened."""

    def __init__(self, name: str, ctx: Context) -> None:
        self.name = name
        self._ctx = ctx

    def ask(
        self, requests: Iterable[Request], *, ledger: str, total: int | None = None, tell: bool = True
    ) -> Iterator[Completion]:
        """Every row in order; ShareDoneError at the first that no job has finished, and at once in one of several jobs
        that has not been told to gather."""
        ctx = self._ctx
        if ctx.shard is not None and not ctx.gathers:
            raise ShareDoneError
        shards: Sequence[int | None] = range(ctx.placement.shards) if ctx.gathers else [None]
        with ExitStack() as files:
            ledgers = [files.enter_context(Ledger(ledger_file(ctx, ledger, shard), writes=False)) for shard in shards]
            for request in requests:
                yield _find(request, self.name, ledgers)


def _find(request: Request, model: str, ledgers: Sequence[Ledger]) -> Completion:
    identity = digest(request, model)
    for ledger in ledgers:
        offset = ledger.find(identity)
        if offset is not None:
            return ledger.read(offset)
    raise ShareDoneError

"""A served model: any OpenAI-compatible server (vLLM, NIM, TensorRT-LLM, llama.cpp, `rung serve`)."""

import json
import os
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from compiler.schema.cluster import SERVERS, ServerAccess
from runtime.clients.budget import Budget
from runtime.clients.driver import Driver
from runtime.clients.ledger import Ledger, ledger_file
from runtime.clients.progress import Progress
from runtime.clients.request import Completion, Request, StoppedError, digest
from runtime.clients.server import Job, ServerClient
from runtime.context import Context
from runtime.shares import ShareDoneError

FILE = "endpoint.json"
_AHEAD = 4
"""Rows pulled for each one in flight, so that a slow row rarely holds back those behind it."""
_LEAST_AHEAD = 1024


@contextmanager
def open_endpoint(ref: str, ctx: Context) -> Iterator["Endpoint"]:
    """The server that the environment (`RUNG_SERVERS`) or the cluster file names for this endpoint.

    Raises: StoppedError where neither does.
    """
    found = ctx.manifest.inputs[ref]
    model = json.loads((Path(found.path) / FILE).read_bytes())["model"]
    listed = ctx.manifest.servers.get(ref)
    url = json.loads(os.environ.get(SERVERS, "{}")).get(model) or (listed.url if listed else None)
    if url is None:
        raise StoppedError(f"no server of {model!r} is known: list it in the cluster file, or name it in {SERVERS}")
    yield Endpoint(found.fingerprint, model, url, listed or ServerAccess(), ctx)


class Endpoint:
    """A server; see `LanguageModel`. Rank 0 asks it; other ranks have no rows of it."""

    def __init__(self, name: str, model: str, url: str, access: ServerAccess, ctx: Context) -> None:
        self.name = name
        self._model, self._url, self._access, self._ctx = model, url, access, ctx
        self._budget = Budget(access, shards=ctx.share[1])

    def ask(
        self, requests: Iterable[Request], *, ledger: str, total: int | None = None, tell: bool = True
    ) -> Iterator[Completion]:
        """A completion for each request, in order; what the server refuses for good is rejected."""
        ctx = self._ctx
        if ctx.rank > 0:
            return
        progress = Progress(ctx, requests, total, tell=tell)
        number, of = ctx.share
        with Ledger(ledger_file(ctx, ledger, ctx.shard)) as rows:
            if self._budget.is_limited:
                self._budget.spend(rows.usage())
            answers = self._answers(islice(requests, number, None, of), rows, progress)
            if ctx.shard is None:
                yield from answers
            else:
                deque(answers, maxlen=0)
        progress.end()
        if ctx.shard is not None:
            raise ShareDoneError

    def _answers(self, requests: Iterable[Request], rows: Ledger, progress: Progress) -> Iterator[Completion]:
        """Rows in order, from the ledger or as the server answers; those ahead of the slowest are in memory."""
        server = ServerClient(self._url, self._model, self._access, self._budget, rows)
        ahead = max(_LEAST_AHEAD, _AHEAD * self._access.concurrency)
        waiting = (Job(request, digest(request, self.name)) for request in requests)
        order: deque[Job] = deque()
        asked: set[str] = set()
        done: dict[str, Completion] = {}
        with Driver(server.answer, concurrency=self._access.concurrency, close=server.close) as driver:
            while True:
                if len(order) <= ahead // 2:
                    pulled = list(islice(waiting, ahead - len(order)))
                    fresh = [job for job in pulled if rows.find(job.digest) is None]
                    order.extend(pulled)
                    _refuse_equal(order)
                    asked.update(job.digest for job in fresh)
                    driver.submit(fresh)
                if not order:
                    return
                name = order.popleft().digest
                if name not in asked:
                    completion = _recorded(name, rows)
                    progress.found(completion)
                    yield completion
                    continue
                while name not in done:
                    for job, completion in driver.collect():
                        done[job.digest] = completion
                        progress.add(completion)
                asked.discard(name)
                yield done.pop(name)


def _recorded(name: str, rows: Ledger) -> Completion:
    place = rows.find(name)
    assert place is not None
    return rows.read(place)


def _refuse_equal(jobs: Collection[Job]) -> None:
    if len({job.digest for job in jobs}) < len(jobs):
        raise ValueError("two requests of one `ask` are the same: their keys must differ")

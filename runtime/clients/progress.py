"""What a person sees of a stage that asks models: rows and tokens per second, rejects, how much is left."""

import time
from collections.abc import Iterable, Sized

from runtime.clients.request import Completion, Request
from runtime.context import Context

_EVERY_S = 2.0


class Progress:
    """Counts rows and tells the journal now and then."""

    def __init__(self, ctx: Context, requests: Iterable[Request], total: int | None, *, tell: bool) -> None:
        """Of a share the total is the share's."""
        if total is None and isinstance(requests, Sized):
            total = len(requests)
        self._ctx, self._tell = ctx, tell
        self._total = None if total is None else -(-total // ctx.share[1])
        self._begun = self._told = time.monotonic()
        self._done = self._rejected = self._asked = self._tokens = 0

    def found(self, completion: Completion) -> None:
        """A row that an earlier attempt finished."""
        self._count(completion)

    def add(self, completion: Completion) -> None:
        """A row that was finished just now."""
        self._asked += 1
        self._tokens += completion.usage.completion_tokens
        self._count(completion)

    def end(self) -> None:
        """Tells the last state."""
        self._say(time.monotonic())

    def _count(self, completion: Completion) -> None:
        self._done += 1
        self._rejected += bool(completion.rejected)
        now = time.monotonic()
        if now - self._told >= _EVERY_S:
            self._say(now)

    def _say(self, now: float) -> None:
        self._told = now
        if not self._tell or not self._done:
            return
        seconds = max(now - self._begun, 1e-9)
        self._ctx.progress(
            done=self._done,
            total=self._total if self._total is not None else self._done,
            unit="row",
            rejected=self._rejected,
            rows_per_s=round(self._asked / seconds, 1),
            tokens_per_s=round(self._tokens / seconds, 1),
        )

"""Keeps many requests in flight: an event loop in a thread of its own, so that a slow reader of rows stalls no request.

The reader's thread submits and collects; what is awaited, retried and recorded happens in the loop's.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


class Driver(Generic[Job, Result]):
    """At most `concurrency` jobs at once; `answer` is awaited for each, in the loop's thread."""

    def __init__(
        self,
        answer: Callable[[Job], Awaitable[Result]],
        *,
        concurrency: int,
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self._answer, self._close, self._concurrency = answer, close, concurrency
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._run, name="driver", daemon=True)
        self._finished: SimpleQueue[list[tuple[Job, Result]] | BaseException] = SimpleQueue()
        self._ready: list[tuple[Job, Result]] = []
        self._waiting: deque[Job] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> "Driver[Job, Result]":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What is still in flight is dropped."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Puts jobs in the queue; does not block."""
        self._loop.call_soon_threadsafe(self._take, jobs)

    def collect(self) -> list[tuple[Job, Result]]:
        """What has been finished since the last call, at least one; raises what a job raised."""
        found = self._finished.get()
        if isinstance(found, BaseException):
            raise found
        return found

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            for task in self._tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
            self._loop.run_until_complete(self._close())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def _take(self, jobs: Sequence[Job]) -> None:
        self._waiting.extend(jobs)
        for _ in range(min(len(jobs), self._concurrency - len(self._tasks))):
            task = self._loop.create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        while self._waiting:
            job = self._waiting.popleft()
            try:
                result = await self._answer(job)
            except Exception as error:
                self._waiting.clear()
                for task in self._tasks - {asyncio.current_task()}:
                    task.cancel()
                self._finished.put(error)
                return
            if not self._ready:
                # Everything that ends in one turn of the loop is handed over at once.
                self._loop.call_soon(self._hand_over)
            self._ready.append((job, result))

    def _hand_over(self) -> None:
        self._finished.put(self._ready)
        self._ready = []

"""The model's thread: rows go in as requests come, tokens come out step by step."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread

from runtime.engine.batching import ContinuousBatch, Row, Token
from runtime.engine.model import Model


@dataclass(eq=False)
class Stream:
    """One row's tokens as they are written."""

    row: Row
    loop: asyncio.AbstractEventLoop
    tokens: "asyncio.Queue[Token | Exception]" = field(default_factory=asyncio.Queue)
    name: int = -1

    async def __aiter__(self) -> AsyncIterator[Token]:
        while True:
            token = await self.tokens.get()
            if isinstance(token, Exception):
                raise token
            yield token
            if token.last:
                return


_Given = tuple[str, Stream | None]


class Engine:
    """Owns the batch; asked from an event loop."""

    def __init__(self, model: Model, *, slots: int) -> None:
        self._model, self._slots = model, slots
        self._inbox: SimpleQueue[_Given] = SimpleQueue()
        self._streams: dict[int, Stream] = {}
        self._thread = Thread(target=self._run, name="engine", daemon=True)

    @property
    def under_way(self) -> int:
        """Rows in the batch or waiting for a slot."""
        return len(self._streams)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after its current step."""
        self._inbox.put(("stop", None))
        self._thread.join()

    def submit(self, row: Row) -> Stream:
        """Takes a row into the batch. It must fit the model; who asks has made sure."""
        stream = Stream(row, asyncio.get_running_loop())
        self._inbox.put(("add", stream))
        return stream

    def cancel(self, stream: Stream) -> None:
        """Frees the row's slot; nothing happens where it is done."""
        self._inbox.put(("drop", stream))

    def _run(self) -> None:
        batch = ContinuousBatch(self._model, self._slots)
        while True:
            for what, stream in self._taken(wait=not len(batch)):
                if stream is None:
                    return
                if what == "add":
                    stream.name = batch.add(stream.row)
                    self._streams[stream.name] = stream
                elif self._streams.pop(stream.name, None):
                    batch.drop(stream.name)
            if not len(batch):
                continue
            try:
                self._deliver(batch.step())
            except Exception as error:
                self._fail(error)
                batch = ContinuousBatch(self._model, self._slots)

    def _taken(self, *, wait: bool) -> list[_Given]:
        found = [self._inbox.get()] if wait else []
        while True:
            try:
                found.append(self._inbox.get_nowait())
            except Empty:
                return found

    def _deliver(self, tokens: Sequence[Token]) -> None:
        """One call into each loop a step, whatever the number of rows."""
        for loop, told in self._by_loop(tokens).items():
            loop.call_soon_threadsafe(_put, told)

    def _by_loop(self, tokens: Sequence[Token]) -> dict[asyncio.AbstractEventLoop, list[tuple[Stream, Token]]]:
        found: dict[asyncio.AbstractEventLoop, list[tuple[Stream, Token]]] = {}
        for token in tokens:
            stream = self._streams.pop(token.row) if token.last else self._streams[token.row]
            found.setdefault(stream.loop, []).append((stream, token))
        return found

    def _fail(self, error: Exception) -> None:
        for stream in self._streams.values():
            stream.loop.call_soon_threadsafe(stream.tokens.put_nowait, error)
        self._streams.clear()


def _put(told: Sequence[tuple[Stream, Token]]) -> None:
    for stream, token in told:
        stream.tokens.put_nowait(token)

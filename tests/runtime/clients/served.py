"""A server of one model for tests, in a thread: it says what a test tells it to, and keeps what it was asked."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

from aiohttp import web

MODEL = "some/model"


@dataclass
class Say:
    """One reply. A negative status closes the connection without a word."""

    text: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    finish_reason: str = "stop"
    raw: bytes | None = None
    usage: tuple[int, int] | None = (20, 10)


Behave = Callable[[str, int], Say]
"""(the last message, how often it was asked before) -> what is said."""


def echo(question: str, before: int) -> Say:
    return Say(f"answer to {question}")


@dataclass
class Served:
    """A running server."""

    behave: Behave = echo
    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    """By the last message."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    in_flight: int = 0
    most_in_flight: int = 0

    async def handle(self, http: web.Request) -> web.StreamResponse:
        body = await http.json()
        question = body["messages"][-1]["content"]
        before = self.asked[question]
        self.asked[question] += 1
        self.bodies.append(body)
        self.keys.add(http.headers.get("Authorization", ""))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            say = self.behave(question, before)
            await asyncio.sleep(say.after_s)
        finally:
            self.in_flight -= 1
        if say.status < 0:
            assert http.transport is not None
            http.transport.abort()
        if say.raw is not None:
            return web.Response(status=say.status, body=say.raw, headers=say.headers)
        if say.status != 200:
            return web.json_response({"error": {"message": say.text}}, status=say.status, headers=say.headers)
        prompt, completion = say.usage or (0, 0)
        usage = {"prompt_tokens": prompt, "completion_tokens": completion}
        choice = {"index": 0, "message": {"role": "assistant", "content": say.text}, "finish_reason": say.finish_reason}
        told = {"choices": [choice], **({"usage": usage} if say.usage else {})}
        return web.Response(text=json.dumps(told), content_type="application/json")


@contextmanager
def serving() -> Iterator[Served]:
    """Serves until the end of the block."""
    served = Served()
    loop = asyncio.new_event_loop()
    application = web.Application()
    application.router.add_post("/v1/chat/completions", served.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)

    async def begin() -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"

    # In a thread of its own from the first: another loop may be running in this one, a browser's for its tests.
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
    try:
        yield served
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

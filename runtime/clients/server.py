"""One server asked over HTTP, row by row: attempts, back-off, patience, budget; what is finished goes to the ledger."""

import asyncio
import os
import random
import time
from dataclasses import dataclass

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from compiler.schema.cluster import ServerAccess
from runtime.clients.budget import Budget
from runtime.clients.chat import FatalError, Reply, TransientError, body, read
from runtime.clients.ledger import Ledger
from runtime.clients.request import Completion, Request, StoppedError, Usage

_ATTEMPTS = 8
"""A row is given up after so many failures while the server answered others."""
_REFUSALS = 4
"""Rows refused in a row before any was answered: then the server refuses what is asked, not what the rows say."""
_LONGEST_PAUSE_S = 600.0
_BACK_OFF = wait_random_exponential(multiplier=0.1, max=30)


@dataclass(frozen=True, slots=True)
class Job:
    """One row to ask for."""

    request: Request
    digest: str


class ServerClient:
    """Lives in the driver's loop, but for its construction."""

    def __init__(self, url: str, model: str, access: ServerAccess, budget: Budget, rows: Ledger) -> None:
        self._url = url.rstrip("/") + "/chat/completions"
        self._model, self._access, self._budget, self._rows = model, access, budget, rows
        self._session: aiohttp.ClientSession | None = None
        self._alone = asyncio.Lock()
        self._freed = asyncio.Event()
        self._answered_at: float | None = None
        self._opened_at = time.monotonic()
        self._pause_until = 0.0
        self._doubtful: list[tuple[str, Completion]] = []

    async def answer(self, job: Job) -> Completion:
        """The row's completion, recorded. Until the server has answered once, one request is in flight and no more.

        Raises: StoppedError.
        """
        if self._answered_at is None:
            async with self._alone:
                if self._answered_at is None:
                    return await self._finish(job)
        return await self._finish(job)

    async def close(self) -> None:
        """Closes connections; rows that were refused before any was answered are recorded after all."""
        self._record_doubtful()
        if self._session is not None:
            await self._session.close()

    async def _finish(self, job: Job) -> Completion:
        reserved = await self._admitted(job.request)
        try:
            completion = await self._persist(job.request)
        finally:
            self._budget.release(reserved)
            self._freed.set()
        self._budget.spend(completion.usage, job.request)
        if self._budget.is_limited and not completion.rejected and completion.usage == Usage(0, 0):
            raise StoppedError(f"{self._where} does not tell the tokens that it used: its budget cannot be kept")
        if completion.rejected and self._answered_at is None:
            self._doubt(job, completion)
            return completion
        self._record_doubtful()
        self._rows.append(job.digest, completion)
        return completion

    async def _admitted(self, request: Request) -> float:
        """Waits until the budget has room for this request; returns what it has reserved."""
        if not self._budget.is_limited:
            return 0.0
        while not self._budget.reserve(tokens := self._budget.estimate(request)):
            if not self._budget.in_flight:
                raise StoppedError(
                    f"the budget for {self._where} is spent: {self._budget.words()}; finished rows are kept: raise it "
                    "in the cluster file and run again"
                )
            self._freed.clear()
            await self._freed.wait()
        return tokens

    async def _persist(self, request: Request) -> Completion:
        """Tries until there is an answer. Gives a row up that fails while others do not; stops when nothing answers."""
        begun = time.monotonic()
        failures = 0

        async def once() -> Completion:
            nonlocal failures
            try:
                return await self._attempt(request)
            except TransientError as error:
                failures += not error.busy
                raise

        def is_hopeless() -> bool:
            return failures >= _ATTEMPTS and self._answered_at is not None and self._answered_at > begun

        def stops(_: RetryCallState) -> bool:
            return is_hopeless() or self._silent_s() > self._access.patience_s

        try:
            return await once()
        except TransientError:
            again = AsyncRetrying(
                retry=retry_if_exception_type(TransientError), wait=_BACK_OFF, stop=stops, reraise=True
            )
        await asyncio.sleep(random.uniform(0, 0.1))
        try:
            return await again(once)
        except TransientError as error:
            if is_hopeless():
                return Completion(request.key, "", None, False, None, Usage(0, 0), f"given up after failures: {error}")
            raise StoppedError(
                f"{self._where} has not answered for {self._silent_s():.0f} s (patience_s): {error}; finished rows are "
                "kept, and the stage goes on when it is resumed"
            ) from error

    async def _attempt(self, request: Request) -> Completion:
        while (pause := self._pause_until - time.monotonic()) > 0:
            await asyncio.sleep(pause + random.uniform(0, 0.1 * pause))
        try:
            reply = await self._post(body(request, self._model))
            completion = read(request, reply, now=time.time())
        except TransientError as error:
            if error.retry_after_s:
                until = time.monotonic() + min(error.retry_after_s, _LONGEST_PAUSE_S)
                self._pause_until = max(self._pause_until, until)
            raise
        except FatalError as error:
            raise StoppedError(f"{self._where} refuses to be asked: {error}") from None
        if not completion.rejected:
            self._answered_at = time.monotonic()
        return completion

    async def _post(self, data: bytes) -> Reply:
        try:
            async with self._connected().post(self._url, data=data, allow_redirects=False) as response:
                return Reply(response.status, await response.read(), response.headers.get("Retry-After"))
        except aiohttp.InvalidURL as error:
            raise StoppedError(f"{self._url!r} is no address of a server") from error
        except TimeoutError:
            raise TransientError(f"no answer within {self._access.timeout_s:g} s (timeout_s)") from None
        except (aiohttp.ClientError, OSError) as error:
            raise TransientError(f"{type(error).__name__}: {error}") from error

    def _connected(self) -> aiohttp.ClientSession:
        """One session for all requests, opened in the loop by the first."""
        if self._session is None:
            headers = {"Content-Type": "application/json"}
            if self._access.api_key_env is not None:
                key = os.environ.get(self._access.api_key_env)
                if key is None:
                    raise StoppedError(f"{self._where} wants a key, and {self._access.api_key_env} is not set")
                headers["Authorization"] = f"Bearer {key}"
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._access.timeout_s),
                headers=headers,
            )
        return self._session

    def _doubt(self, job: Job, completion: Completion) -> None:
        self._doubtful.append((job.digest, completion))
        if len(self._doubtful) >= _REFUSALS:
            self._doubtful.clear()
            raise StoppedError(f"{self._where} refused the first {_REFUSALS} rows: {completion.rejected}")

    def _record_doubtful(self) -> None:
        for digest, completion in self._doubtful:
            self._rows.append(digest, completion)
        self._doubtful.clear()

    def _silent_s(self) -> float:
        return time.monotonic() - (self._opened_at if self._answered_at is None else self._answered_at)

    @property
    def _where(self) -> str:
        return f"the server of {self._model!r} ({self._url.removesuffix('/chat/completions')})"

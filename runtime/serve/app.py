"""The HTTP side: routes, streams, errors, and clients that go away."""

import asyncio
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request as Http
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from compiler.artifacts import Message
from runtime.engine.batching import Row, Token
from runtime.randomness import uniforms
from runtime.serve import replies
from runtime.serve.engine import Engine
from runtime.serve.protocol import BadRequestError, ChatRequest, CompletionRequest, parse_chat, parse_completion
from runtime.serve.replies import Choice, Head, Style
from runtime.serve.words import Words
from runtime.tokenizer import ChatTokenizer

_MOST_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Serving:
    """What is served."""

    name: str
    """As clients call the model."""
    engine: Engine
    tokenizer: ChatTokenizer
    seq_length: int
    """Longest sequence, prompt and answer together."""
    key: str | None = None
    """That clients must show; nobody is asked where it is None."""


def make_app(serving: Serving) -> Starlette:
    """The server of one model."""
    began = int(time.time())

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        serving.engine.start()
        yield
        await asyncio.to_thread(serving.engine.stop)

    async def models(_: Http) -> Response:
        return JSONResponse({"object": "list", "data": [_model(serving, began)]})

    async def model(http: Http) -> Response:
        _refuse_other_model(serving, http.path_params["name"])
        return JSONResponse(_model(serving, began))

    async def health(_: Http) -> Response:
        return JSONResponse({"status": "ok", "rows_under_way": serving.engine.under_way})

    async def chat(http: Http) -> Response:
        asked = parse_chat(await _body(http))
        return await _reply(http, serving, "chat", asked, [_chat_prompt(serving, asked)])

    async def completions(http: Http) -> Response:
        asked = parse_completion(await _body(http))
        return await _reply(http, serving, "text", asked, [_text_prompt(serving, one) for one in asked.prompts])

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", _keyed(serving, models)),
            Route("/v1/models/{name:path}", _keyed(serving, model)),
            Route("/v1/chat/completions", _keyed(serving, chat), methods=["POST"]),
            Route("/v1/completions", _keyed(serving, completions), methods=["POST"]),
        ],
        lifespan=lifespan,
        exception_handlers={
            BadRequestError: _bad_request,
            Exception: _broken,
            404: _no_such_thing,
            405: _no_such_thing,
        },
    )


_Handler = Callable[[Http], Awaitable[Response]]


def _keyed(serving: Serving, handler: _Handler) -> _Handler:
    async def check(http: Http) -> Response:
        shown = http.headers.get("authorization", "").removeprefix("Bearer ")
        if serving.key is not None and not hmac.compare_digest(shown.encode(), serving.key.encode()):
            raise BadRequestError("the key is wrong or missing", code="invalid_api_key", status=401)
        return await handler(http)

    return check


async def _body(http: Http) -> bytes:
    body = bytearray()
    async for part in http.stream():
        body += part
        if len(body) > _MOST_BYTES:
            raise BadRequestError(f"the request has more than {_MOST_BYTES:,} bytes", status=413)
    return bytes(body)


def _chat_prompt(serving: Serving, asked: ChatRequest) -> list[int]:
    turns = [
        Message(role="system" if turn.role == "developer" else turn.role, content=turn.text) for turn in asked.messages
    ]
    return serving.tokenizer.encode_prompt(turns)


def _text_prompt(serving: Serving, prompt: str | Sequence[int]) -> list[int]:
    if isinstance(prompt, str):
        return serving.tokenizer.encode_text(prompt)
    if not all(0 <= token < serving.tokenizer.vocab_size for token in prompt):
        raise BadRequestError(f"tokens are from 0 to {serving.tokenizer.vocab_size - 1}", param="prompt")
    return list(prompt)


async def _reply(
    http: Http, serving: Serving, style: Style, asked: ChatRequest | CompletionRequest, prompts: Sequence[list[int]]
) -> Response:
    _refuse_other_model(serving, asked.model)
    rows = [row for number, prompt in enumerate(prompts) for row in _rows(serving, style, asked, prompt, number)]
    head = Head(f"{'chatcmpl' if style == 'chat' else 'cmpl'}-{secrets.token_hex(12)}", int(time.time()), serving.name)
    answers = [_Answer(serving, style, asked, index, row) for index, row in enumerate(rows)]
    if asked.stream:
        tell_usage = asked.stream_options is not None and asked.stream_options.include_usage
        pieces = _pieces(serving, style, head, answers, prompts, tell_usage=tell_usage)
        return StreamingResponse(pieces, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
    done = asyncio.ensure_future(asyncio.gather(*(answer.whole() for answer in answers)))
    gone = asyncio.ensure_future(_disconnected(http))
    try:
        await asyncio.wait({done, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            return Response(status_code=499)
        return JSONResponse(replies.whole(style, head, done.result(), _usage(answers, prompts)))
    finally:
        for waiting in (done, gone):
            waiting.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await waiting


def _rows(
    serving: Serving, style: Style, asked: ChatRequest | CompletionRequest, prompt: list[int], number: int
) -> list[Row]:
    longest = _longest(serving, style, asked, len(prompt))
    tokenizer = serving.tokenizer
    ends = {tokenizer.end_id} if style == "chat" else {tokenizer.end_id, tokenizer.end_of_text_id}
    temperature = 1.0 if asked.temperature is None else asked.temperature
    seed = secrets.randbits(64) if asked.seed is None else asked.seed
    return [
        Row(
            prompt=prompt,
            max_new_tokens=longest,
            end_ids=tuple(ends),
            temperature=temperature,
            top_p=1.0 if asked.top_p is None else asked.top_p,
            uniforms=uniforms(longest, seed, number, copy) if temperature > 0 else np.empty(0),
            top=asked.top or 0,
        )
        for copy in range(asked.copies)
    ]


def _longest(serving: Serving, style: Style, asked: ChatRequest | CompletionRequest, prompt_tokens: int) -> int:
    room = serving.seq_length - prompt_tokens
    what = "messages" if style == "chat" else "prompt"
    if prompt_tokens < 1 or room < (asked.longest or 1):
        raise BadRequestError(
            f"the prompt has {prompt_tokens} tokens; with {asked.longest or 1} new ones it does not fit into "
            f"{serving.seq_length}",
            param=what,
            code="context_length_exceeded",
        )
    return asked.longest or room


class _Answer:
    """One row on its way to the client."""

    def __init__(
        self, serving: Serving, style: Style, asked: ChatRequest | CompletionRequest, index: int, row: Row
    ) -> None:
        self._serving, self._style, self._asked, self._index, self._row = serving, style, asked, index, row
        self.tokens = 0

    async def whole(self) -> Choice:
        """The answer at once."""
        written = [one async for one in self._written()]
        parts = [choice for choice, _ in written]
        text = "".join(part.text for part in parts)
        return Choice(self._index, text, self._logprobs([token for _, token in written], 0), parts[-1].finish_reason)

    async def pieces(self) -> AsyncIterator[Choice]:
        """The answer as it is written; pieces that say nothing are left out."""
        offset = 0
        held: list[Token] = []
        async for choice, token in self._written():
            held.append(token)
            if choice.text or choice.finish_reason is not None:
                yield choice._replace(logprobs=self._logprobs(held, offset))
                offset += sum(len(self._text_of(one.token_id)) for one in held)
                held = []

    async def _written(self) -> AsyncIterator[tuple[Choice, Token]]:
        tokenizer, chat = self._serving.tokenizer, self._style == "chat"
        words = Words(
            tokenizer.decode if chat else self._plain,
            lead=tokenizer.layout.lead["assistant"] if chat else "",
            tail=tokenizer.layout.tail if chat else "",
            stops=self._asked.stops,
        )
        stream = self._serving.engine.submit(self._row)
        try:
            async for token in stream:
                self.tokens += 1
                text = words.add(token.token_id, last=token.last)
                why: Literal["stop", "length"] | None = None
                if words.stopped or token.last:
                    why = "stop" if words.stopped or token.token_id in self._row.end_ids else "length"
                yield Choice(self._index, text, None, why), token
                if words.stopped:
                    return
        finally:
            # Where the client has gone, or a stop has come, the row's slot is somebody else's.
            self._serving.engine.cancel(stream)

    def _plain(self, ids: Sequence[int]) -> str:
        """Without the token that ends the text."""
        return self._serving.tokenizer.decode_text(ids[:-1] if ids[-1] in self._row.end_ids else ids)

    def _text_of(self, token_id: int) -> str:
        return self._serving.tokenizer.decode_text([token_id])

    def _logprobs(self, tokens: Sequence[Token], offset: int) -> dict[str, Any] | None:
        if self._asked.top is None:
            return None
        # The token that ends the answer has no words, and stands in no list of them.
        spoken = [token for token in tokens if token.token_id not in self._row.end_ids]
        return replies.logprobs(self._style, spoken, self._text_of, offset)


async def _pieces(
    serving: Serving,
    style: Style,
    head: Head,
    answers: Sequence[_Answer],
    prompts: Sequence[Sequence[int]],
    *,
    tell_usage: bool,
) -> AsyncIterator[str]:
    """Server-sent events: the pieces of all answers as they come, then `[DONE]`."""
    queue: asyncio.Queue[Choice | Exception | None] = asyncio.Queue()

    async def pump(answer: _Answer) -> None:
        try:
            async for choice in answer.pieces():
                queue.put_nowait(choice)
        except Exception as error:
            queue.put_nowait(error)
        queue.put_nowait(None)

    pumps = [asyncio.ensure_future(pump(answer)) for answer in answers]
    try:
        begun: set[int] = set()
        ended = 0
        while ended < len(answers):
            found = await queue.get()
            if found is None:
                ended += 1
            elif isinstance(found, Exception):
                yield _event(replies.error(f"{type(found).__name__}: {found}", "server_error"))
                return
            else:
                yield _event(replies.piece(style, head, found, first=found.number not in begun))
                begun.add(found.number)
        if tell_usage:
            yield _event(replies.last(style, head, _usage(answers, prompts)))
        yield "data: [DONE]\n\n"
    finally:
        for pumping in pumps:
            pumping.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _usage(answers: Sequence[_Answer], prompts: Sequence[Sequence[int]]) -> dict[str, int]:
    return replies.usage(sum(map(len, prompts)), sum(answer.tokens for answer in answers))


async def _disconnected(http: Http) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


def _refuse_other_model(serving: Serving, name: str) -> None:
    if name != serving.name:
        message = f"no model {name!r} is served here; {serving.name!r} is"
        raise BadRequestError(message, param="model", code="model_not_found", status=404)


def _model(serving: Serving, began: int) -> dict[str, Any]:
    return {
        "id": serving.name,
        "object": "model",
        "created": began,
        "owned_by": "rung",
        "max_model_len": serving.seq_length,
    }


async def _bad_request(_: Http, problem: Exception) -> Response:
    assert isinstance(problem, BadRequestError)
    kind = "authentication_error" if problem.status == 401 else "invalid_request_error"
    told = replies.error(str(problem), kind, param=problem.param, code=problem.code)
    return JSONResponse(told, status_code=problem.status)


async def _no_such_thing(http: Http, problem: Exception) -> Response:
    status = getattr(problem, "status_code", 404)
    told = replies.error(f"{http.method} {http.url.path} is not offered", "invalid_request_error")
    return JSONResponse(told, status_code=status)


async def _broken(_: Http, problem: Exception) -> Response:
    return JSONResponse(replies.error(f"{type(problem).__name__}: {problem}", "server_error"), status_code=500)

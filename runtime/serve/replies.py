"""What clients are told: the JSON of answers, whole or in pieces. Pure functions."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from runtime.engine.batching import Token

Style = Literal["chat", "text"]


class Head(NamedTuple):
    """What every piece of one answer repeats."""

    id: str
    created: int
    """Seconds since the epoch."""
    model: str


class Choice(NamedTuple):
    """One answer, or a piece of it."""

    number: int
    """Among the answers of the request."""
    text: str
    logprobs: dict[str, Any] | None
    finish_reason: Literal["stop", "length"] | None


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """What an answer took."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def whole(style: Style, head: Head, choices: Sequence[Choice], used: dict[str, int]) -> dict[str, Any]:
    """The answer at once."""
    told = [
        {
            "index": one.number,
            **(
                {"message": {"role": "assistant", "content": one.text, "refusal": None}}
                if style == "chat"
                else {"text": one.text}
            ),
            "logprobs": one.logprobs,
            "finish_reason": one.finish_reason,
        }
        for one in choices
    ]
    return {**_head(style, head, piece=False), "choices": told, "usage": used}


def piece(style: Style, head: Head, choice: Choice, *, first: bool) -> dict[str, Any]:
    """A part of the answer; the first of a chat says who speaks."""
    words = {"role": "assistant", "content": choice.text} if first else {"content": choice.text}
    told = {
        "index": choice.number,
        **({"delta": words} if style == "chat" else {"text": choice.text}),
        "logprobs": choice.logprobs,
        "finish_reason": choice.finish_reason,
    }
    return {**_head(style, head, piece=True), "choices": [told]}


def last(style: Style, head: Head, used: dict[str, int]) -> dict[str, Any]:
    """The usage, which ends a stream where it was asked for."""
    return {**_head(style, head, piece=True), "choices": [], "usage": used}


def logprobs(style: Style, tokens: Sequence[Token], text_of: Callable[[int], str], offset: int = 0) -> dict[str, Any]:
    """Log-probabilities of these tokens by the model's own distribution, and of the likeliest at each place.

    `offset`: signs of the answer before these tokens.
    """
    if style == "chat":
        return {
            "content": [
                {
                    **_token(text_of(token.token_id), token.logprob),
                    "top_logprobs": [_token(text_of(name), value) for name, value in token.top],
                }
                for token in tokens
            ],
            "refusal": None,
        }
    texts = [text_of(token.token_id) for token in tokens]
    return {
        "tokens": texts,
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [{text_of(name): value for name, value in token.top} for token in tokens],
        "text_offset": [offset + sum(map(len, texts[:place])) for place in range(len(texts))],
    }


def error(message: str, kind: str, *, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """An error as OpenAI's clients read it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _token(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def _head(style: Style, head: Head, *, piece: bool) -> dict[str, Any]:
    kind = ("chat.completion.chunk" if piece else "chat.completion") if style == "chat" else "text_completion"
    return {"id": head.id, "object": kind, "created": head.created, "model": head.model}

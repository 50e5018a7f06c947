"""The chat API that OpenAI-compatible servers share: a request as bytes, an answer as words. Pure functions."""

import hashlib
import json
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from runtime.clients.request import Completion, Request, Usage

_BUSY = frozenset({429, 503})
_THIS_ROW = frozenset({400, 413, 422})
_TRANSIENT = frozenset({408, 409, 425})


class TransientError(Exception):
    """The same request may succeed later."""

    def __init__(self, words: str, *, busy: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(words)
        self.busy = busy
        """Whether it says nothing against the row: the server has too much to do."""
        self.retry_after_s = retry_after_s


class FatalError(Exception):
    """No request will succeed: a wrong key, a model that is not served."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server sent."""

    status: int
    payload: bytes
    retry_after: str | None = None
    """The header of this name."""


def body(request: Request, model: str) -> bytes:
    """The request as `POST /chat/completions` wants it; the seed is a function of the row's own seed and key."""
    if request.speaker != "assistant":
        raise ValueError("a served model writes the assistant's turns only")
    sampling = request.sampling
    return json.dumps(
        {
            "model": model,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
            "seed": _seed(request),
        }
    ).encode()


def read(request: Request, reply: Reply, *, now: float) -> Completion:
    """The completion that this reply is. `now` is seconds since the epoch, for a Retry-After that names a date.

    Raises: TransientError, FatalError.
    """
    status = reply.status
    if status in _THIS_ROW:
        return Completion(request.key, "", None, False, None, Usage(0, 0), f"{status}: {_reason(reply.payload)}")
    if status >= 500 or status in _BUSY or status in _TRANSIENT:
        wait = _retry_after_s(reply.retry_after, now)
        raise TransientError(f"{status}: {_reason(reply.payload)}", busy=status in _BUSY, retry_after_s=wait)
    if status != 200:
        raise FatalError(f"{status}: {_reason(reply.payload)}")
    try:
        said = json.loads(reply.payload)
        (choice, *_) = said["choices"]
        text = choice["message"].get("content") or ""
        why = choice.get("finish_reason")
        usage = said.get("usage") or {}
        spent = Usage(int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0)))
        if not isinstance(text, str):
            raise TypeError(type(text).__name__)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TransientError(f"not an answer: {type(error).__name__} in {reply.payload[:80]!r}") from None
    if why == "content_filter":
        return Completion(request.key, "", None, False, None, spent, "content_filter")
    return Completion(request.key, valid(text), None, why != "length", None, spent)


def valid(text: str) -> str:
    """Valid Unicode: pairs of surrogates are the character that they mean, lone ones U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _seed(request: Request) -> int:
    """31 bits."""
    key = hashlib.sha256(f"{request.seed}\x1f{request.key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(key[:4], "little") >> 1


def _reason(payload: bytes) -> str:
    """What the server says of its error, on one line; at most 200 characters."""
    try:
        said: Any = json.loads(payload)
        error = said.get("error", said)
        words = error.get("message", error) if isinstance(error, dict) else error
    except (ValueError, AttributeError):
        words = payload.decode("utf-8", "replace")
    return valid(" ".join(str(words).split())[:200]) or "no reason given"


def _retry_after_s(header: str | None, now: float) -> float:
    """Seconds; the header is a number of them, or a date."""
    if not header:
        return 0.0
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except ValueError:
        return 0.0

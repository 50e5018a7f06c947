"""What is asked of a language model, and what it said."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from compiler.artifacts import Message
from compiler.schema.sampling import Sampling

Speaker = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True)
class Request:
    """One row to answer."""

    key: str
    """Names the row among those of one `ask`, and, together with the seed, its randomness."""
    messages: tuple[Message, ...]
    """The conversation so far. The model writes the next turn."""
    sampling: Sampling
    seed: int
    speaker: Speaker = "assistant"
    """Whose turn the model writes. Served models write the assistant's only."""


class Usage(NamedTuple):
    """Tokens of one row."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model said to one request."""

    key: str
    text: str
    """Of the turn, always valid Unicode; empty where the request was rejected."""
    token_ids: tuple[int, ...] | None
    """As sampled, with the end token where it came; None of a served model, which does not tell."""
    finished: bool
    """False where the length limit cut it off."""
    logprob: float | None
    """Sum over the tokens of the model's own log-probabilities (temperature 1); None of a served model."""
    usage: Usage
    rejected: str = ""
    """Why there is no answer and never will be: too long, refused by the server. Callers count it, by this reason."""


class LanguageModel(Protocol):
    """An open model."""

    name: str
    """The fingerprint of the artifact: which model said something is kept with what it said."""

    def ask(
        self, requests: Iterable[Request], *, ledger: str, total: int | None = None, tell: bool = True
    ) -> Iterator[Completion]:
        """A completion for each request, in the order of the requests, which are pulled as they are needed.

        Every finished row stands in the ledger of this name in the stage's scratch before it is yielded, so that a
        stage that asks again after a kill repeats none; so each `ask` of a stage has a name of its own. Keys are unique
        within one `ask`. `tell` reports progress in rows, with the time left where `total` (or the length) is known.

        Called on every rank. In one job of several shards it answers its share, yields nothing, and raises
        `ShareDoneError`, which the worker catches; once all shares are done it yields them all.

        Raises: StoppedError where a budget is spent or a server is away; finished rows stay, and a resumed stage goes
        on.
        """
        ...


class StoppedError(RuntimeError):
    """Asking cannot go on for now: what is finished is kept, and the stage may be resumed when the cause is mended."""


def digest(request: Request, model: str) -> str:
    """16 hexadecimal digits: what a row is identified by in a ledger: prompt, model, sampling and seed."""
    sampling = request.sampling
    what = [
        request.key,
        [(message.role, message.content) for message in request.messages],
        request.speaker,
        model,
        [sampling.temperature, sampling.top_p, sampling.max_new_tokens],
        request.seed,
    ]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]

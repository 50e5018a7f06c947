"""What clients may ask: OpenAI's chat completions and completions, as far as they are offered. The rest is refused."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

Text = Annotated[str, Field(min_length=1)]
_Off = Literal[0]


class BadRequestError(Exception):
    """The client's mistake."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param, self.code, self.status = param, code, status


class Part(BaseModel):
    """A piece of a message; text only."""

    type: Literal["text"]
    text: str


class Turn(BaseModel):
    """One message."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]
    name: str | None = None

    @property
    def text(self) -> str:
        """Its words."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    """What a stream tells beside the words."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool = False
    include_obfuscation: bool = False


class Asked(BaseModel):
    """What both ways of asking share. What changes the answer and is not offered is refused, never passed over."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    stop: Text | Annotated[list[Text], Field(max_length=4)] | None = None
    seed: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    # Without an effect on the words.
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    # Offered only as if they were absent.
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None

    @property
    def stops(self) -> Sequence[str]:
        """Strings that end the answer."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def copies(self) -> int:
        """Answers to each prompt."""
        return self.n or 1


class ChatRequest(Asked):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Turn], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: dict[Literal["type"], Literal["text"]] | None = None

    @property
    def longest(self) -> int | None:
        """Most new tokens."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def top(self) -> int | None:
        """Likeliest tokens to tell at each place; None where no log-probabilities are wanted."""
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionRequest(Asked):
    """`POST /v1/completions`: text, or tokens, as they stand."""

    prompt: str | list[str] | list[int] | list[list[int]]
    max_tokens: Annotated[int, Field(ge=1)] | None = 16
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None
    suffix: None = None

    @field_validator("prompt")
    @classmethod
    def _has_something(cls, prompt: Any) -> Any:
        if not prompt:
            raise ValueError("must not be empty")
        return prompt

    @property
    def longest(self) -> int | None:
        """Most new tokens."""
        return self.max_tokens

    @property
    def top(self) -> int | None:
        """Likeliest tokens to tell at each place; None where no log-probabilities are wanted."""
        return self.logprobs

    @property
    def prompts(self) -> Sequence[str | list[int]]:
        """One for each answer."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [self.prompt]
        return self.prompt


def parse_chat(body: bytes) -> ChatRequest:
    """Raises BadRequestError with everything that is wrong."""
    try:
        return ChatRequest.model_validate_json(body)
    except ValidationError as error:
        raise _wrong(error) from None


def parse_completion(body: bytes) -> CompletionRequest:
    """Raises BadRequestError with everything that is wrong."""
    try:
        return CompletionRequest.model_validate_json(body)
    except ValidationError as error:
        raise _wrong(error) from None


def _wrong(error: ValidationError) -> BadRequestError:
    found: dict[str, str] = {}
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        # A union tells of each of its members; the first is enough.
        found.setdefault(str(one["loc"][0]) if one["loc"] else "", f"{'.'.join(map(str, one['loc']))}: {one['msg']}")
    return BadRequestError("; ".join(found.values()), param=next(iter(found)) or None)

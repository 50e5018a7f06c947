"""What a stage may spend on a server: tokens and money, counted over all of its attempts."""

from compiler.schema.cluster import ServerAccess
from runtime.clients.request import Request, Usage

_TOKENS_PER_CHARACTER = 0.5
"""Of prompts, until an answer has told."""


class Budget:
    """Counts what is spent and what is in flight, so that a limit is met and not passed.

    A request reserves its longest answer and its prompt by the tokens per character that were seen so far.
    """

    def __init__(self, server: ServerAccess, *, shards: int) -> None:
        """Each shard has its part."""
        self._price = server.price_per_million_tokens / 1e6
        self._max_tokens = None if server.max_tokens is None else server.max_tokens / shards
        self._max_cost = None if server.max_cost is None else server.max_cost / shards
        self.tokens = 0
        """Spent."""
        self._reserved = 0.0
        self._characters = self._prompt_tokens = 0

    @property
    def is_limited(self) -> bool:
        """Whether there is anything to keep."""
        return self._max_tokens is not None or self._max_cost is not None

    @property
    def in_flight(self) -> bool:
        """Whether something is reserved that may turn out shorter."""
        return self._reserved > 0

    def estimate(self, request: Request) -> float:
        """Tokens that this request may take."""
        seen = self._prompt_tokens / self._characters if self._characters else _TOKENS_PER_CHARACTER
        return _characters(request) * seen + request.sampling.max_new_tokens

    def reserve(self, tokens: float) -> bool:
        """Takes them, if they fit."""
        after = self.tokens + self._reserved + tokens
        if self._max_tokens is not None and after > self._max_tokens:
            return False
        if self._max_cost is not None and after * self._price > self._max_cost:
            return False
        self._reserved += tokens
        return True

    def release(self, tokens: float) -> None:
        """Gives back what was reserved."""
        self._reserved = max(0.0, self._reserved - tokens)

    def spend(self, usage: Usage, request: Request | None = None) -> None:
        """Counts what an answer took."""
        self.tokens += sum(usage)
        if request is not None and usage.prompt_tokens:
            self._characters += _characters(request)
            self._prompt_tokens += usage.prompt_tokens

    def words(self) -> str:
        """What is spent of what."""
        limits = []
        if self._max_tokens is not None:
            limits.append(f"{self.tokens:,} of {self._max_tokens:,.0f} tokens (max_tokens)")
        if self._max_cost is not None:
            limits.append(f"{self.tokens * self._price:,.2f} of {self._max_cost:,.2f} in money (max_cost)")
        return " and ".join(limits)


def _characters(request: Request) -> int:
    return sum(len(message.content) for message in request.messages)

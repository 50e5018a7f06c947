"""Which part of a split a prompt belongs to: decided by its words and the salt alone, whoever wrote it."""

import hashlib
from collections.abc import Iterable

from compiler.artifacts import Message
from compiler.schema.data import Split


def part_of(split: Split, prompt_text: str) -> str | None:
    """The part of this prompt, or None where it belongs to none. Case and spacing make no other prompt."""
    place = _place(split.salt, prompt_text)
    end = 0.0
    # In the order of their names: the order in which a spec lists its parts bears no identity, so it must not matter.
    for part, share in sorted(split.shares.items()):
        end += share
        if place < end:
            return part
    return None


def prompt_text(messages: Iterable[Message]) -> str:
    """What a split looks at: what the user says, over all turns."""
    return "\n".join(message.content for message in messages if message.role == "user")


def _place(salt: str, text: str) -> float:
    """Uniform in [0, 1): the first 53 bits of a hash."""
    words = " ".join(text.casefold().split())
    digest = hashlib.sha256(f"{salt}\n{words}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53

"""Randomness by name: a row's numbers depend on what it is, never on its batch, its shard or its turn."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def uniforms(count: int, *key: str | int) -> NDArray[np.float64]:
    """`count` uniform numbers in [0, 1), a pure function of the key."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in key).encode()).digest()
    words = [int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")]
    return np.random.Generator(np.random.Philox(key=words)).random(count)

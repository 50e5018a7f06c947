"""The identity of what is computed: a hash over the stage record, its inputs' fingerprints and its templates' words."""

import hashlib
import json
from collections.abc import Callable
from functools import cache
from typing import Any

from compiler.render import template_text
from compiler.schema.base import NotIdentity
from compiler.stages import Stage
from compiler.stages.refs import replace_refs

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def identity(stage: Stage, fingerprint_of: Callable[[str], str], contents: str = "") -> dict[str, Any]:
    """What is hashed, as plain JSON values: the whole record with refs replaced, its version, its templates.

    `contents` is the digest of adopted files, where nothing in the record says which they are.
    """
    hidden = not_identity(type(stage))
    hashed = {name: value for name, value in replace_refs(stage, fingerprint_of).items() if name not in hidden}
    return {
        **hashed,
        "version": stage.version,
        "templates": {name: _digest(template_text(name).encode()) for name in stage.templates()},
        **({"contents": contents} if contents else {}),
    }


@cache
def not_identity(record_type: type[Stage]) -> frozenset[str]:
    """The fields that are not hashed."""
    fields = record_type.model_fields.items()
    return frozenset(name for name, info in fields if any(isinstance(part, NotIdentity) for part in info.metadata))


def fingerprint(identity: dict[str, Any]) -> str:
    """16 hexadecimal digits (64 bits) of the SHA-256 of the canonical JSON; what has no stable form is refused."""
    return _digest(_CANONICAL.encode(identity).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]

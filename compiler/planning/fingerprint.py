"""The identity of what is computed: a hash over the stage record, its inputs' fingerprints and its templates' words."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from compiler.render import template_text
from compiler.stages import Stage
from compiler.stages.refs import replace_refs


def identity(stage: Stage, fingerprint_of: Callable[[str], str]) -> dict[str, Any]:
    """What is hashed, as plain JSON values: the whole record with refs replaced, its version, its templates."""
    return {
        **replace_refs(stage, fingerprint_of),
        "version": stage.version,
        "templates": {name: _digest(template_text(name).encode()) for name in stage.templates()},
    }


def fingerprint(identity: dict[str, Any]) -> str:
    """16 hexadecimal digits (64 bits) of the SHA-256 of the canonical JSON; what has no stable form is refused."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return _digest(text.encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]

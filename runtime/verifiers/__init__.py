"""Programs that check answers to prompts that carry a `check`: one file per kind of verifier.

A verifier has two functions. `prepare(value, row)` makes a check out of what somebody's file of rows says, `value`
being the field that a recipe names and `row` the whole line, and raises ValueError where something lacks.
`verify(check, response)` gives the verdict of one response. The check of a prompt is what `prepare` gave and the
verifier's name:

    {"verifier": "numeric", "answer": "540"}
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol, cast

from compiler.schema.sources import Verifier as VerifierName
from runtime.tasks.base import Verdict

VERIFIER = "verifier"
"""The key of a check that names who reads it."""


class Verifier(Protocol):
    """The module of a verifier."""

    def prepare(self, value: Any, row: Mapping[str, Any]) -> dict[str, Any]:
        """What this verifier needs, out of a row of somebody's file."""
        ...

    def verify(self, check: Mapping[str, Any], response: str) -> Verdict:
        """Whether the response passes."""
        ...


def find(name: str) -> Verifier:
    """The verifier of this name."""
    return cast(Verifier, import_module(f"runtime.verifiers.{name}"))


def prepare(name: VerifierName, value: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """The whole check of a prompt; ValueError where the row lacks what the verifier needs."""
    return {VERIFIER: name, **find(name).prepare(value, row)}


def verify(check: Mapping[str, Any], response: str) -> Verdict:
    """What the check's verifier says of this response. An answer that says nothing never passes."""
    return find(str(check[VERIFIER])).verify(check, response) if response.strip() else verdict(0.0)


def verdict(share: float) -> Verdict:
    """A verdict of so much of what was asked for; what else makes an answer good, these programs do not see."""
    return Verdict(share == 1, {"correctness": round(4 * share, 4)})

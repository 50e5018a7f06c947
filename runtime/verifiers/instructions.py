"""instructions: the answer follows instructions whose following a program can see (IFEval's types, 2311.07911)."""

from collections.abc import Mapping
from typing import Any

from runtime import instructions
from runtime.tasks.base import Verdict
from runtime.verifiers import verdict


def prepare(value: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """A list of `{"type": ..., parameters}`; or IFEval's own two lists: `value` the parameters (`kwargs`), and the
    types in the row's `instruction_id_list`."""
    if not isinstance(value, list) or not value or not all(isinstance(one, Mapping) for one in value):
        raise ValueError("a list of instructions is needed, each with its parameters")
    types = row.get("instruction_id_list", [one.get("type") for one in value])
    if not isinstance(types, list) or len(types) != len(value):
        raise ValueError(f"{len(value)} sets of parameters stand beside another number of instructions")
    asked = []
    for type_name, given in zip(types, value, strict=True):
        parameters = {name: one for name, one in given.items() if one is not None and name != "type"}
        instructions.check_parameters(str(type_name), parameters)
        asked.append({"type": type_name, **parameters})
    return {"instructions": asked}


def verify(check: Mapping[str, Any], response: str) -> Verdict:
    """The share of the instructions that is followed; all must be."""
    asked = check["instructions"]
    followed = [instructions.follows(one["type"], one, response) for one in asked]
    return verdict(sum(followed) / len(followed))

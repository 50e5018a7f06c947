"""Instructions whose following a program can see: IFEval's 25 types (Zhou et al. 2023, arXiv 2311.07911).

One file per group of types. A type knows its parameters, draws them, and says whether a response follows it; the words
that ask for it stand in `templates/prompts/instruction_<type>.j2`. Parameters are called as in IFEval's own data.
"""

import random
from collections.abc import Mapping
from typing import Any

from compiler.schema.generators import instruction_template
from runtime.instructions import (
    change_case,
    combination,
    detectable_content,
    detectable_format,
    keywords,
    language,
    length_constraints,
    punctuation,
    startend,
)
from runtime.instructions.base import Drawn, InstructionType

_GROUPS = (
    keywords,
    language,
    length_constraints,
    detectable_content,
    detectable_format,
    combination,
    startend,
    change_case,
    punctuation,
)
TYPES: Mapping[str, InstructionType] = {name: one for group in _GROUPS for name, one in group.TYPES.items()}
"""IFEval's name of the type -> the type."""

__all__ = ["TYPES", "Drawn", "InstructionType", "check_parameters", "draw", "follows", "types_of", "words"]


def types_of(name: str) -> tuple[str, ...]:
    """The types that a recipe means by this name: itself, or all of a group."""
    found = tuple(one for one in TYPES if name in (one, one.partition(":")[0]))
    if not found:
        raise ValueError(f"there is no type of instruction {name!r}; there are {', '.join(TYPES)}")
    return found


def draw(name: str, prompt: str, rng: random.Random) -> dict[str, Any]:
    """Parameters of an instruction of this type that suits the prompt."""
    return dict(TYPES[name].draw(prompt, rng))


def words(name: str, parameters: Mapping[str, Any], variant: int) -> str:
    """The instruction as a person would say it."""
    from compiler.render import render

    spoken = TYPES[name].spoken(parameters)
    return render(instruction_template(name), **spoken, variant=variant).strip()


def check_parameters(name: str, parameters: Mapping[str, Any]) -> None:
    """ValueError where the type is unknown, or its parameters are others or of other types."""
    if name not in TYPES:
        raise ValueError(f"there is no type of instruction {name!r}; there are {', '.join(TYPES)}")
    wanted = TYPES[name].parameters
    if set(parameters) != set(wanted):
        asked = ", ".join(sorted(wanted)) or "no parameters"
        raise ValueError(f"{name} takes {asked}, not {', '.join(sorted(parameters)) or 'none'}")
    for parameter, kind in wanted.items():
        value = parameters[parameter]
        if isinstance(value, bool) or not isinstance(value, kind):
            raise ValueError(f"{name}: {parameter} is {value!r}, but must be of type {kind.__name__}")
        if parameter.endswith("relation") and value not in RELATIONS:
            raise ValueError(f"{name}: {parameter} is {value!r}, but must be one of {', '.join(RELATIONS)}")


def follows(name: str, parameters: Mapping[str, Any], response: str) -> bool:
    """Whether the response follows the instruction; one that is empty follows none."""
    return bool(response.strip()) and TYPES[name].follows(parameters, response)


RELATIONS = ("at least", "less than")

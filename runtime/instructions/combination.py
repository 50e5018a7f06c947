"""combination: two answers, or the request repeated before the answer."""

from collections.abc import Mapping

from runtime.instructions.base import Drawn, InstructionType

DIVIDER = "******"


def _two(parameters: Drawn, response: str) -> bool:
    """Two different texts around six asterisks; only before the first and after the last may nothing stand."""
    parts = [part.strip() for part in response.split(DIVIDER)]
    given = [part for part in parts if part]
    return all(parts[1:-1]) and len(given) == 2 and given[0] != given[1]


def _repeated(parameters: Drawn, response: str) -> bool:
    return response.strip().lower().startswith(parameters["prompt_to_repeat"].strip().lower())


TYPES: Mapping[str, InstructionType] = {
    "combination:two_responses": InstructionType(_two),
    "combination:repeat_prompt": InstructionType(
        _repeated, {"prompt_to_repeat": str}, lambda prompt, rng: {"prompt_to_repeat": prompt}
    ),
}

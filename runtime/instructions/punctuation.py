"""punctuation: no commas."""

from collections.abc import Mapping

from runtime.instructions.base import Drawn, InstructionType


def _no_comma(parameters: Drawn, response: str) -> bool:
    return "," not in response


TYPES: Mapping[str, InstructionType] = {"punctuation:no_comma": InstructionType(_no_comma)}

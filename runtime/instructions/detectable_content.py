"""detectable_content: placeholders, a postscript."""

import re
from collections.abc import Mapping

from runtime.instructions.base import Drawn, InstructionType


def _placeholders(parameters: Drawn, response: str) -> bool:
    return bool(len(re.findall(r"\[[^\[\]\n]*\]", response)) >= parameters["num_placeholders"])


def _postscript(parameters: Drawn, response: str) -> bool:
    """The marker in any case, with or without a space after each of its full stops."""
    letters = [re.escape(part) for part in parameters["postscript_marker"].rstrip(".").split(".")]
    return re.search(r"(?<!\w)" + r"\.\s?".join(letters), response, re.IGNORECASE) is not None


TYPES: Mapping[str, InstructionType] = {
    "detectable_content:number_placeholders": InstructionType(
        _placeholders, {"num_placeholders": int}, lambda prompt, rng: {"num_placeholders": rng.randint(1, 5)}
    ),
    "detectable_content:postscript": InstructionType(
        _postscript,
        {"postscript_marker": str},
        lambda prompt, rng: {"postscript_marker": rng.choice(("P.S.", "P.P.S"))},
    ),
}

"""startend: how the answer begins and ends."""

from collections.abc import Mapping

from runtime.instructions.base import Drawn, InstructionType

ENDINGS = (
    "Is there anything else I can do for you?",
    "That is all there is to say.",
    "Tell me if this helped.",
    "Which part shall we look at next?",
    "I hope that this answers it.",
    "Please ask again if something is unclear.",
    "And so it ends.",
)


def _ends(parameters: Drawn, response: str) -> bool:
    """In any case; quotation marks around the whole answer may follow."""
    return response.strip().strip('"').strip().lower().endswith(parameters["end_phrase"].strip().lower())


def _quoted(parameters: Drawn, response: str) -> bool:
    text = response.strip()
    return len(text) > 1 and text[0] == '"' and text[-1] == '"'


TYPES: Mapping[str, InstructionType] = {
    "startend:end_checker": InstructionType(
        _ends, {"end_phrase": str}, lambda prompt, rng: {"end_phrase": rng.choice(ENDINGS)}
    ),
    "startend:quotation": InstructionType(_quoted),
}

"""detectable_format: bullets, highlights, sections, JSON, a title, one of three answers."""

import json
import random
import re
from collections.abc import Mapping

from runtime.instructions.base import Drawn, InstructionType

CONSTRAINED = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_FENCE = re.compile(r"\A\s*```(?:json)?\s*(.*?)\s*(?:```)?\s*\Z", re.DOTALL | re.IGNORECASE)
_HIGHLIGHT = re.compile(r"\*\*([^\n*]+)\*\*|\*([^\n*]+)\*")
SPLITTERS = ("Section", "Part", "Chapter", "Day", "Step")


def _bullets(parameters: Drawn, response: str) -> bool:
    return bool(len(re.findall(r"^\s*(?:\*[^*\n]|-)", response, re.MULTILINE)) == parameters["num_bullets"])


def _constrained(parameters: Drawn, response: str) -> bool:
    return any(answer in response for answer in CONSTRAINED)


def _highlights(parameters: Drawn, response: str) -> bool:
    found = [one or other for one, other in _HIGHLIGHT.findall(response)]
    return bool(sum(bool(text.strip()) for text in found) >= parameters["num_highlights"])


def _sections(parameters: Drawn, response: str) -> bool:
    splitter = re.escape(parameters["section_spliter"])
    return bool(len(re.findall(rf"{splitter}\s?\d+", response)) >= parameters["num_sections"])


def _json(parameters: Drawn, response: str) -> bool:
    match = _FENCE.fullmatch(response)
    try:
        json.loads(match[1] if match else response)
    except (ValueError, RecursionError):
        return False
    return True


def _title(parameters: Drawn, response: str) -> bool:
    return any(title.strip("<> \t") for title in re.findall(r"<<([^\n]+?)>>", response))


def _draw_sections(prompt: str, rng: random.Random) -> Drawn:
    return {"section_spliter": rng.choice(SPLITTERS), "num_sections": rng.randint(2, 5)}


TYPES: Mapping[str, InstructionType] = {
    "detectable_format:number_bullet_lists": InstructionType(
        _bullets, {"num_bullets": int}, lambda prompt, rng: {"num_bullets": rng.randint(2, 8)}
    ),
    "detectable_format:constrained_response": InstructionType(_constrained),
    "detectable_format:number_highlighted_sections": InstructionType(
        _highlights, {"num_highlights": int}, lambda prompt, rng: {"num_highlights": rng.randint(1, 5)}
    ),
    "detectable_format:multiple_sections": InstructionType(
        _sections, {"section_spliter": str, "num_sections": int}, _draw_sections
    ),
    "detectable_format:json_format": InstructionType(_json),
    "detectable_format:title": InstructionType(_title),
}

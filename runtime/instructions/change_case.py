"""change_case: English in capitals, in small letters, or with so many words in capitals."""

import random
import re
from collections.abc import Mapping

from runtime.instructions.base import Drawn, InstructionType, related, relation
from runtime.instructions.language import is_in

_WORD = re.compile(r"[^\W_]+(?:[-.'\u2019][^\W_]+)*")


def _capital_words(parameters: Drawn, response: str) -> bool:
    count = sum(word.isupper() for word in _WORD.findall(response))
    return related(count, parameters["capital_relation"], parameters["capital_frequency"])


def _capitals(parameters: Drawn, response: str) -> bool:
    return response.isupper() and is_in(response, "en")


def _small(parameters: Drawn, response: str) -> bool:
    return response.islower() and is_in(response, "en")


def _draw(prompt: str, rng: random.Random) -> Drawn:
    return {"capital_frequency": rng.randint(2, 10), "capital_relation": relation(rng)}


TYPES: Mapping[str, InstructionType] = {
    "change_case:capital_word_frequency": InstructionType(
        _capital_words, {"capital_frequency": int, "capital_relation": str}, _draw
    ),
    "change_case:english_capital": InstructionType(_capitals),
    "change_case:english_lowercase": InstructionType(_small),
}

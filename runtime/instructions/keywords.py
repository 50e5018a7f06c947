"""keywords: words and letters that must occur, must not, or so often."""

import random
import re
from collections.abc import Mapping
from string import ascii_lowercase

from runtime.instructions.base import COMMON_WORDS, Drawn, InstructionType, related, relation


def _times(word: str, text: str) -> int:
    """Inside other words too, in any case: as IFEval counts."""
    return len(re.findall(re.escape(word), text, re.IGNORECASE))


def _has_all(parameters: Drawn, response: str) -> bool:
    return all(_times(word, response) for word in parameters["keywords"])


def _often_enough(parameters: Drawn, response: str) -> bool:
    return related(_times(parameters["keyword"], response), parameters["relation"], parameters["frequency"])


def _has_none(parameters: Drawn, response: str) -> bool:
    return not any(
        re.search(rf"\b{re.escape(word)}\b", response, re.IGNORECASE) for word in parameters["forbidden_words"]
    )


def _letters(parameters: Drawn, response: str) -> bool:
    count = response.lower().count(parameters["letter"].lower())
    return related(count, parameters["let_relation"], parameters["let_frequency"])


def _words_of(prompt: str) -> list[str]:
    """Words of the prompt that an answer to it is likely to use."""
    return sorted({word.lower() for word in re.findall(r"[A-Za-z]{5,}", prompt)})


def _draw_keywords(prompt: str, rng: random.Random) -> Drawn:
    return {"keywords": sorted(rng.sample(COMMON_WORDS, rng.randint(1, 3)))}


def _draw_frequency(prompt: str, rng: random.Random) -> Drawn:
    return {"keyword": rng.choice(COMMON_WORDS), "frequency": rng.randint(2, 5), "relation": relation(rng)}


def _draw_forbidden(prompt: str, rng: random.Random) -> Drawn:
    likely = _words_of(prompt)
    words = rng.sample(likely, min(len(likely), rng.randint(1, 3))) or [rng.choice(COMMON_WORDS)]
    return {"forbidden_words": sorted(words)}


def _draw_letters(prompt: str, rng: random.Random) -> Drawn:
    return {
        "letter": rng.choice(ascii_lowercase),
        "let_frequency": rng.randint(2, 20),
        "let_relation": relation(rng),
    }


TYPES: Mapping[str, InstructionType] = {
    "keywords:existence": InstructionType(_has_all, {"keywords": list}, _draw_keywords),
    "keywords:frequency": InstructionType(
        _often_enough, {"keyword": str, "frequency": int, "relation": str}, _draw_frequency
    ),
    "keywords:forbidden_words": InstructionType(_has_none, {"forbidden_words": list}, _draw_forbidden),
    "keywords:letter_frequency": InstructionType(
        _letters, {"letter": str, "let_frequency": int, "let_relation": str}, _draw_letters
    ),
}

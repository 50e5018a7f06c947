"""length_constraints: so many words, sentences or paragraphs."""

import random
import re
import unicodedata
from collections.abc import Mapping

from runtime.instructions.base import COMMON_WORDS, Drawn, InstructionType, related, relation

_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|Inc|Ltd|Co|Capt|Lt|Gen|Gov|Sen|Rep|Hon|Rev|Fig|No|vs|etc|approx|cf)"
    r"|\b(?:[A-Za-z]\.)*[A-Za-z])$"
)
"""What a full stop may follow without ending a sentence: titles, single letters, letters between full stops."""
_STOP = re.compile(r"[.!?\u2026\u3002\uff01\uff1f\u0964]+[\"'\u201d\u2019)\]*_]*(?=\s|$)|[\u3002\uff01\uff1f]")


def sentences(text: str) -> int:
    """How many sentences: what ends with a stop before white space, and a rest without one."""
    count = 0
    start = 0
    for stop in _STOP.finditer(text):
        before = text[start : stop.start()]
        if stop[0] == "." and _ABBREVIATION.search(before) and stop.end() < len(text.rstrip()):
            continue
        count += bool(re.search(r"\w", before))
        start = stop.end()
    return count + bool(re.search(r"\w", text[start:]))


def words(text: str) -> int:
    """Runs of letters, digits and underscores; marks belong to their letters."""
    return len(re.findall(r"\w+", "".join(one for one in text if unicodedata.category(one)[0] != "M")))


def _sentences(parameters: Drawn, response: str) -> bool:
    return related(sentences(response), parameters["relation"], parameters["num_sentences"])


def _words(parameters: Drawn, response: str) -> bool:
    return related(words(response), parameters["relation"], parameters["num_words"])


def _paragraphs(parameters: Drawn, response: str) -> bool:
    """Between dividers of three asterisks; only before the first and after the last may nothing stand."""
    parts = [part.strip() for part in response.split("***")]
    inner = parts[1:-1]
    return all(inner) and sum(map(bool, parts)) == parameters["num_paragraphs"]


def _first_word(parameters: Drawn, response: str) -> bool:
    parts = [part.strip() for part in response.split("\n\n") if part.strip()]
    number = parameters["nth_paragraph"]
    if len(parts) != parameters["num_paragraphs"] or not 1 <= number <= len(parts):
        return False
    word = parts[number - 1].split()[0].lstrip("'\"\u201c\u2018*_")
    found = re.match(r"[^.,?!'\"\u2019\u201d*_:;]*", word)
    return found is not None and found[0].lower() == parameters["first_word"].lower()


def _draw_sentences(prompt: str, rng: random.Random) -> Drawn:
    return {"num_sentences": rng.randint(3, 20), "relation": relation(rng)}


def _draw_words(prompt: str, rng: random.Random) -> Drawn:
    return {"num_words": rng.randrange(50, 501, 10), "relation": relation(rng)}


def _draw_paragraphs(prompt: str, rng: random.Random) -> Drawn:
    return {"num_paragraphs": rng.randint(2, 6)}


def _draw_first_word(prompt: str, rng: random.Random) -> Drawn:
    count = rng.randint(2, 6)
    return {
        "num_paragraphs": count,
        "nth_paragraph": rng.randint(1, count),
        "first_word": rng.choice(COMMON_WORDS),
    }


TYPES: Mapping[str, InstructionType] = {
    "length_constraints:number_sentences": InstructionType(
        _sentences, {"num_sentences": int, "relation": str}, _draw_sentences
    ),
    "length_constraints:number_paragraphs": InstructionType(_paragraphs, {"num_paragraphs": int}, _draw_paragraphs),
    "length_constraints:number_words": InstructionType(_words, {"num_words": int, "relation": str}, _draw_words),
    "length_constraints:nth_paragraph_first_word": InstructionType(
        _first_word, {"num_paragraphs": int, "nth_paragraph": int, "first_word": str}, _draw_first_word
    ),
}

"""language: the whole answer in one language. Which one a text is in, a library of letter statistics says."""

import random
from collections.abc import Mapping

from runtime.instructions.base import Drawn, InstructionType

LANGUAGES: Mapping[str, str] = {
    "ar": "Arabic",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "gu": "Gujarati",
    "he": "Hebrew",
    "hi": "Hindi",
    "hu": "Hungarian",
    "it": "Italian",
    "ja": "Japanese",
    "kn": "Kannada",
    "ko": "Korean",
    "ml": "Malayalam",
    "mr": "Marathi",
    "ne": "Nepali",
    "nl": "Dutch",
    "pa": "Punjabi",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
"""ISO 639-1 code -> English name, of the languages that are asked for."""


def language_of(text: str) -> str | None:
    """The ISO 639-1 code of the language that the text is most likely written in; None where it has no letters."""
    if not any(letter.isalpha() for letter in text):
        return None
    import py3langid

    # In lower case, which is what the library has learnt from: a text in capitals is in the same language.
    code, _ = py3langid.classify(text.lower())
    return str(code)


def is_in(text: str, language: str) -> bool:
    """Whether the text is in this language; one without letters is not in another."""
    return language_of(text) in (language.partition("-")[0], None)


def _in_language(parameters: Drawn, response: str) -> bool:
    return is_in(response, parameters["language"])


def _draw(prompt: str, rng: random.Random) -> Drawn:
    return {"language": rng.choice([code for code in LANGUAGES if code != "en"])}


def _named(parameters: Drawn) -> Drawn:
    return {"language": LANGUAGES.get(parameters["language"], parameters["language"])}


TYPES: Mapping[str, InstructionType] = {
    "language:response_language": InstructionType(_in_language, {"language": str}, _draw, _named),
}

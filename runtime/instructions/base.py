"""What a type of instruction is, and what several of them look at."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Drawn = Mapping[str, Any]
"""Parameters by name."""


def _as_they_are(parameters: Drawn) -> Drawn:
    return parameters


@dataclass(frozen=True)
class InstructionType:
    """One type."""

    follows: Callable[[Drawn, str], bool]
    """Whether a response, which is not empty, follows the instruction."""
    parameters: Mapping[str, type] = field(default_factory=dict)
    """Name -> what it is."""
    draw: Callable[[str, random.Random], Drawn] = lambda prompt, rng: {}
    """Parameters for an instruction that stands beside this prompt."""
    spoken: Callable[[Drawn], Drawn] = _as_they_are
    """The parameters as the words of the instruction need them."""


def related(count: int, relation: str, wanted: int) -> bool:
    """`at least` or `less than`."""
    return count >= wanted if relation == "at least" else count < wanted


def relation(rng: random.Random) -> str:
    """One of the two."""
    return rng.choice(("at least", "less than"))


_WORDS = """
account advice angle balance basket border branch breath bridge budget button camera candle careful centre chance
change circle climate colour comfort common copper corner cotton courage course custom danger degree detail doctor
double dream effort energy engine evening example fabric famous father feather figure finger flavour flower forest
fortune frame friend future garden gather gentle gift glass golden ground growth guide habit hammer harbour health
heavy history hollow honest humour image island journey kitchen ladder language lesson letter level library light
listen market master matter meadow measure memory method middle minute mirror moment morning mountain movement music
narrow nature needle number object ocean office orange ordinary palace paper partner patient pattern pepper person
picture pillow planet pocket power practice present promise purpose quality question quiet reason record remember
result ribbon river rhythm school season secret shadow shelter signal silence silver simple singer skill spirit
spring square station story street strength summer surface table talent teacher thread thunder ticket timber travel
treasure useful valley value velvet village visit voice walnut weather window winter wisdom wonder yellow"""

COMMON_WORDS = tuple(_WORDS.split())
"""Words that could occur in an answer to nearly anything."""

"""Genetic instruct: problems breed in colonies (Majumdar et al. 2024, arXiv 2407.21077). Pure functions of text.

A colony is a population of problems that grows by itself; which of them breed, and how, depends on the seed, the
colony, the generation and the number of the child alone.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runtime.asking import Question, question

VARIANTS = 6
"""Ways to mutate."""


@dataclass(frozen=True)
class Colony:
    """One population."""

    number: int
    problems: tuple[str, ...]

    def knows(self, problem: str) -> bool:
        """Whether this problem is one of its own, letter case and white space aside."""
        return plain(problem) in {plain(one) for one in self.problems}


@dataclass(frozen=True)
class Child:
    """A problem to be."""

    colony: int
    asked: Question
    parents: tuple[str, ...]
    """The problems that it is bred from."""


def breed(
    colony: Colony, operators: Mapping[str, float], *, parents: int, count: int, generation: int, seed: int
) -> list[Child]:
    """The questions that make `count` new problems out of the colony's."""
    found = []
    for number in range(count):
        key = f"{colony.number}-{generation}-{number}"
        rng = random.Random(f"{seed}/{key}")
        names = sorted(operators)
        (operator,) = rng.choices(names, [operators[name] for name in names])
        if operator == "crossover":
            chosen = rng.sample(colony.problems, min(parents, len(colony.problems)))
            asked = question(key, "prompts/code_crossover.j2", problems=chosen)
        else:
            variant = rng.randrange(VARIANTS)
            chosen = [rng.choice(colony.problems)]
            asked = question(key, "prompts/code_mutation.j2", problem=chosen[0], variant=variant)
        found.append(Child(colony.number, asked, tuple(chosen)))
    return found


def joined(problems: Sequence[str]) -> list[int]:
    """Numbers of the problems that say something that none before them says."""
    seen: dict[str, int] = {}
    for number, problem in enumerate(problems):
        seen.setdefault(plain(problem), number)
    return list(seen.values())


def plain(problem: str) -> str:
    """Equal for problems that differ in letter case and white space only."""
    return " ".join(problem.casefold().split())

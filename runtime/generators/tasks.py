"""tasks: prompts drawn from the task families' own spaces."""

import random
from collections.abc import Collection

from compiler.artifacts import Message, PromptRow
from compiler.schema.data import Split
from compiler.schema.generators import Tasks
from runtime.generators.quotas import quotas
from runtime.rows import messages_id
from runtime.splits import part_of
from runtime.tasks import find

_PATIENCE = 50_000
"""Draws in a row without a new prompt, after which a family counts as exhausted."""


class ExhaustedError(ValueError):
    """A family has fewer distinct prompts in these parts than were asked for."""


def draw_prompts(spec: Tasks, *, count: int, split: Split, parts: Collection[str], seed: int) -> list[PromptRow]:
    """`count` distinct prompts of these parts, each family's share exact, in random order."""
    by_name: dict[str, float] = {str(family): weight for family, weight in spec.families.items()}
    rows = [
        row
        for family, quota in quotas(by_name, count).items()
        for row in _draw_family(family, quota, split, parts, random.Random(f"{seed}/{family}"))
    ]
    random.Random(f"{seed}/order").shuffle(rows)
    return rows


def task_row(family: str, prompt: str, origin: str) -> PromptRow:
    """One user turn as a row."""
    messages = (Message(role="user", content=prompt),)
    return PromptRow(id=messages_id(messages), family=family, messages=messages, origin=origin)


def _draw_family(family: str, quota: int, split: Split, parts: Collection[str], rng: random.Random) -> list[PromptRow]:
    draw = find(family).draw
    rows: list[PromptRow] = []
    seen: set[str] = set()
    fruitless = 0
    while len(rows) < quota:
        prompt = draw(rng).prompt
        fruitless += 1
        if prompt not in seen:
            seen.add(prompt)
            if part_of(split, prompt) in parts:
                rows.append(task_row(family, prompt, "tasks"))
                fruitless = 0
        if fruitless > _PATIENCE:
            raise ExhaustedError(
                f"{quota} distinct {family} prompts are wanted, but {', '.join(sorted(parts))} of the split has fewer: "
                f"{len(rows)} were found"
            )
    return rows

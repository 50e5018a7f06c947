"""few_shot: new prompts of the sort that people wrote examples of."""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from compiler.artifacts import PromptRow
from compiler.schema.generators import FewShot
from runtime.asking import Asker, Rejected, question
from runtime.written import Written, listed, row, user


class Shown(NamedTuple):
    """Examples that are shown together."""

    key: str
    examples: tuple[str, ...]
    made_from: tuple[str, ...]
    """Their ids."""


def drawn(spec: FewShot, examples: Sequence[PromptRow], seed: int, most: int) -> Iterator[Shown]:
    """Examples drawn at random, `shots` at a time, at most so often."""
    for number in range(most if examples else 0):
        rng = random.Random(f"{seed}/{number}/shots")
        some = rng.sample(examples, min(spec.shots, len(examples)))
        yield Shown(f"shown-{number}", tuple(one.messages[-1].content for one in some), tuple(one.id for one in some))


def write(spec: FewShot, shown: Sequence[Shown], asker: Asker, ledger: str) -> Iterator[Written]:
    """As many new prompts as examples were shown, each time, or why there are fewer; what only repeats is rejected."""
    asked = [question(one.key, "prompts/few_shot.j2", examples=one.examples, count=spec.shots) for one in shown]
    for one, items in zip(shown, asker.ask_lists(asked, ledger), strict=True):
        known = {" ".join(example.casefold().split()) for example in one.examples}
        for item in listed(items, spec.shots):
            if isinstance(item, Rejected):
                yield item
            elif " ".join(item.casefold().split()) in known:
                yield Rejected("an example again")
            else:
                yield row(spec.kind, user(item), made_from=one.made_from)

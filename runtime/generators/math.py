"""math: problems about each keyword, at each level."""

from collections.abc import Iterator, Sequence

from compiler.artifacts import TopicRow
from compiler.schema.generators import Math
from runtime.asking import Asker, Rejected, question
from runtime.written import Written, listed, row, user


def write(spec: Math, keywords: Sequence[TopicRow], asker: Asker, ledger: str) -> Iterator[Written]:
    """`per_keyword` problems at each level about each of these keywords, or why there are fewer."""
    asked = [
        question(
            f"{one.id}-{level}",
            f"prompts/math_{level}.j2",
            topic=one.topic,
            count=spec.per_keyword,
        )
        for one in keywords
        for level in spec.levels
    ]
    about = (one.id for one in keywords for _ in spec.levels)
    for keyword, items in zip(about, asker.ask_lists(asked, ledger), strict=True):
        for item in listed(items, spec.per_keyword):
            yield item if isinstance(item, Rejected) else row(spec.kind, user(item), made_from=(keyword,))

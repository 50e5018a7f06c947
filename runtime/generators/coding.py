"""coding: programming problems about each keyword, at each level."""

from collections.abc import Iterator, Sequence

from compiler.artifacts import TopicRow
from compiler.schema.generators import Coding
from runtime.asking import Asker, question
from runtime.written import Written, about_each


def write(spec: Coding, keywords: Sequence[TopicRow], asker: Asker, ledger: str) -> Iterator[Written]:
    """`per_keyword` problems at each level about each of these keywords, or why there are fewer."""
    words = {"count": spec.per_keyword, "language": spec.language}
    asked = [
        (one.id, question(f"{one.id}-{level}", f"prompts/coding_{level}.j2", topic=one.topic, **words))
        for one in keywords
        for level in spec.levels
    ]
    return about_each(spec.kind, asked, spec.per_keyword, asker, ledger)

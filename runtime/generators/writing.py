"""writing: requests to write a document of some type about each topic, each then refined."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence

from compiler.artifacts import TopicRow
from compiler.schema.generators import Writing
from runtime.asking import Asker, Rejected, question
from runtime.refinement import refined
from runtime.written import Written, listed, row, user


def write(spec: Writing, topics: Sequence[TopicRow], asker: Asker, ledger: str) -> Iterator[Written]:
    """`per_topic` requests about each of these topics, of types drawn for each, or why there are fewer."""
    wanted = [(topic, kind, count) for topic in topics for kind, count in _types(spec, topic, asker.seed)]
    asked = [
        question(f"{topic.id}-{kind}", "prompts/writing.j2", topic=topic.topic, document_type=kind, count=count)
        for topic, kind, count in wanted
    ]
    found = asker.ask_lists(asked, ledger)
    requests = [
        (f"{topic.id}-{kind}-{number}", item)
        for (topic, kind, count), items in zip(wanted, found, strict=True)
        for number, item in enumerate(listed(items, count))
    ]
    each = spec.per_topic * max(1, len(spec.refinements))
    for number, text in enumerate(refined(asker, requests, spec.refinements, f"{ledger}-refined")):
        about = topics[number // each].id
        yield text if isinstance(text, Rejected) else row(spec.kind, user(text), made_from=(about,))


def _types(spec: Writing, topic: TopicRow, seed: int) -> list[tuple[str, int]]:
    """Type of document -> how many of the topic's requests are for it."""
    drawn = random.Random(f"{seed}/{topic.id}/types").choices(spec.document_types, k=spec.per_topic)
    return sorted(Counter(drawn).items())

"""writing: requests to write a document of some type about each topic, each then refined."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence

from compiler.artifacts import TopicRow
from compiler.schema.generators import Writing
from runtime.asking import Asker, question
from runtime.refinement import refined_prompts
from runtime.written import Written, listed


def write(spec: Writing, topics: Sequence[TopicRow], asker: Asker, ledger: str) -> Iterator[Written]:
    """`per_topic` requests about each of these topics, of types drawn for each, or why there are fewer."""
    wanted = [(topic, kind, count) for topic in topics for kind, count in _types(spec, topic, asker.seed)]
    asked = [
        question(f"{topic.id}-{kind}", "prompts/writing.j2", topic=topic.topic, document_type=kind, count=count)
        for topic, kind, count in wanted
    ]
    found = asker.ask_lists(asked, ledger)
    requests = [
        (topic.id, f"{topic.id}-{kind}-{number}", item)
        for (topic, kind, count), items in zip(wanted, found, strict=True)
        for number, item in enumerate(listed(items, count))
    ]
    return refined_prompts(spec.kind, requests, spec.refinements, asker, f"{ledger}-refined")


def _types(spec: Writing, topic: TopicRow, seed: int) -> list[tuple[str, int]]:
    """Type of document -> how many of the topic's requests are for it."""
    drawn = random.Random(f"{seed}/{topic.id}/types").choices(spec.document_types, k=spec.per_topic)
    return sorted(Counter(drawn).items())

"""open_qa: questions on each topic, each then refined."""

from collections.abc import Iterator, Sequence

from compiler.artifacts import TopicRow
from compiler.schema.generators import OpenQA
from runtime.asking import Asker, question
from runtime.refinement import refined_prompts
from runtime.written import Written, listed


def write(spec: OpenQA, topics: Sequence[TopicRow], asker: Asker, ledger: str) -> Iterator[Written]:
    """`per_topic` questions on each of these topics, or why there are fewer."""
    asked = [question(one.id, "prompts/open_qa.j2", topic=one.topic, count=spec.per_topic) for one in topics]
    found = asker.ask_lists(asked, ledger)
    questions = [
        (topic.id, f"{topic.id}-{number}", item)
        for topic, items in zip(topics, found, strict=True)
        for number, item in enumerate(listed(items, spec.per_topic))
    ]
    return refined_prompts(spec.kind, questions, spec.refinements, asker, f"{ledger}-refined")

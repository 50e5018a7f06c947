"""generated: a model names broad topics, then narrower ones of each."""

from collections.abc import Iterator

from compiler.schema.topics import Generated
from runtime.asking import Asker, Rejected, question
from runtime.topics import Named
from runtime.written import listed


def find(source: Generated, asker: Asker, ledger: str) -> Iterator[Named | Rejected]:
    """Broad topics at each level, then the narrower ones; each that is missing is a rejection."""
    levels = source.levels or ("",)
    # Only school subjects have levels; the others' templates know no such word.
    asked = [
        question(
            f"macro-{number}",
            f"prompts/{source.subject}_macro_topics.j2",
            count=source.macro_topics,
            **({"level": level} if source.subject == "math" else {}),
        )
        for number, level in enumerate(levels)
    ]
    broad: list[str] = []
    for items in asker.ask_lists(asked, f"{ledger}-macro"):
        for item in listed(items, source.macro_topics):
            if isinstance(item, Rejected):
                yield item
            else:
                broad.append(item)
                yield Named(item)
    narrower = [
        question(f"sub-{number}", f"prompts/{source.subject}_subtopics.j2", topic=topic, count=source.subtopics)
        for number, topic in enumerate(broad)
    ]
    for topic, items in zip(broad, asker.ask_lists(narrower, f"{ledger}-sub"), strict=True):
        for item in listed(items, source.subtopics):
            yield item if isinstance(item, Rejected) else Named(item, under=topic)

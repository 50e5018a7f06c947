"""classified: entities of a list that a model takes for topics of the subject."""

import re
from collections.abc import Iterator, Sequence

from compiler.artifacts import TopicRow
from compiler.schema.topics import Classified
from runtime.asking import Asker, Rejected, question
from runtime.topics import Named

NO, NEITHER = "not of the subject", "neither yes nor no"


def find(source: Classified, entities: Sequence[TopicRow], asker: Asker, ledger: str) -> Iterator[Named | Rejected]:
    """Every entity that the model says yes to."""
    asked = [question(one.id, f"prompts/{source.subject}_classify.j2", entity=one.topic) for one in entities]
    for entity, said in zip(entities, asker.ask(asked, ledger), strict=True):
        yield said if isinstance(said, Rejected) else _verdict(entity, said)


def _verdict(entity: TopicRow, said: str) -> Named | Rejected:
    word = re.match(r"\W*(yes|no)\b", said, re.IGNORECASE)
    if word is None:
        return Rejected(NEITHER)
    return Named(entity.topic, made_from=(entity.id,)) if word[1].lower() == "yes" else Rejected(NO)

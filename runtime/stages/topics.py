"""topics: what prompts are written about, gathered from hand-made lists, from models and from text."""

import hashlib
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from compiler.artifacts import DocumentRow, TopicRow
from compiler.schema.topics import Classified, Generated, HandMade, Mined
from compiler.stages.topics import Topics
from runtime.asking import Asker, Rejected
from runtime.clients.open import open_model
from runtime.context import Context, Facts
from runtime.rows import read_rows, write_rows
from runtime.topics import Named, classified, generated, mined
from runtime.written import DUPLICATE

OVER_COUNT = "more than count"


def run(stage: Topics, ctx: Context) -> Facts:
    """Hand-made topics are all kept, the others drawn from; facts: rows by source, rejects by reason, a waterfall."""
    found: dict[str, TopicRow] = {}
    rejected: Counter[str] = Counter()
    for topic, origin in _named(stage, ctx):
        if isinstance(topic, Rejected):
            rejected[topic.reason] += 1
            continue
        key = " ".join(topic.topic.casefold().split())
        if key in found:
            rejected[DUPLICATE] += 1
        else:
            found[key] = _row(topic, origin)
    named = len(found) + rejected.total()
    distinct = len(found)
    rows = _drawn(stage, list(found.values()))
    rejected[OVER_COUNT] += distinct - len(rows)
    if not rows:
        raise ValueError(f"none of {named} topics can be used: {dict(+rejected)}")
    if ctx.rank == 0:
        write_rows(ctx.output, rows)
    return {
        "rows": len(rows),
        "rows_by_origin": dict(sorted(Counter(row.origin for row in rows).items())),
        "rejected": {reason: count for reason, count in sorted(rejected.items()) if count},
        "waterfall": [
            {"name": "asked for", "rows": named},
            {"name": "well named", "rows": distinct + rejected[DUPLICATE]},
            {"name": "distinct", "rows": distinct},
            {"name": "kept", "rows": len(rows)},
        ],
    }


def _row(named: Named, origin: str) -> TopicRow:
    name = hashlib.sha256(named.topic.encode()).hexdigest()[:16]
    return TopicRow(id=name, topic=named.topic, origin=origin, under=named.under, made_from=named.made_from)


def _named(stage: Topics, ctx: Context) -> Iterator[tuple[Named | Rejected, str]]:
    """(topic, kind of its source); hand-made ones first, so that they are no duplicates."""
    order = sorted(enumerate(stage.sources), key=lambda one: not isinstance(one[1], HandMade))
    for number, source in order:
        ledger = f"topics-{number}"
        match source:
            case HandMade():
                for row in read_rows(ctx.input(source.topics), TopicRow):
                    yield Named(row.topic, under=row.under, made_from=(row.id,)), source.kind
            case Generated():
                with _asker(stage, source, ctx) as asker:
                    for topic in generated.find(source, asker, ledger):
                        yield topic, source.kind
            case Classified():
                entities = list(read_rows(ctx.input(source.entities), TopicRow))
                with _asker(stage, source, ctx) as asker:
                    for topic in classified.find(source, entities, asker, ledger):
                        yield topic, source.kind
            case Mined():
                texts = (row.text for row in read_rows(ctx.input(source.documents), DocumentRow))
                for topic in mined.find(source, texts):
                    yield topic, source.kind


@contextmanager
def _asker(stage: Topics, source: Generated | Classified, ctx: Context) -> Iterator[Asker]:
    with open_model(source.model, ctx) as model:
        yield Asker(model, source.sampling, stage.seed)


def _drawn(stage: Topics, rows: list[TopicRow]) -> list[TopicRow]:
    """At most `count`, in the order in which they were named."""
    by_hand = [row for row in rows if row.origin == "hand_made"]
    others = [row for row in rows if row.origin != "hand_made"]
    room = max(0, stage.count - len(by_hand))
    if len(others) <= room:
        return rows
    drawn = {row.id for row in random.Random(f"{stage.seed}/topics").sample(others, room)}
    return [row for row in rows if row.origin == "hand_made" or row.id in drawn]

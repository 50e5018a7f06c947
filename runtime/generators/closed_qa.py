"""closed_qa: requests about a text, joined with the text by hand-made templates."""

import random
from collections.abc import Iterator, Sequence

from compiler.artifacts import DocumentRow
from compiler.render import render
from compiler.schema.generators import ClosedQA
from runtime.asking import Asker, Rejected, question
from runtime.written import Written, listed, row, user

_WAYS = 6


def write(spec: ClosedQA, documents: Sequence[DocumentRow], asker: Asker, ledger: str) -> Iterator[Written]:
    """`per_document` requests about each of these texts, or why there are fewer."""
    asked = [question(one.id, "prompts/closed_qa.j2", text=one.text, count=spec.per_document) for one in documents]
    for document, items in zip(documents, asker.ask_lists(asked, ledger), strict=True):
        rng = random.Random(f"{asker.seed}/{document.id}/joined")
        for item in listed(items, spec.per_document):
            if isinstance(item, Rejected):
                yield item
            else:
                yield row(spec.kind, user(_joined(document.text, item, rng)), made_from=(document.id,))


def _joined(text: str, request: str, rng: random.Random) -> str:
    variant = rng.randrange(_WAYS)
    return render("prompts/closed_qa_joined.j2", text=text, request=request, variant=variant).strip()

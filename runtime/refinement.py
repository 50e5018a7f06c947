"""Requests written again: with a context, in another form, longer, or as a related one."""

from collections.abc import Iterator, Sequence

from compiler.schema.generators import Refinement
from runtime.asking import Asker, Rejected, question
from runtime.written import Written, row, user


def refined(
    asker: Asker, requests: Sequence[tuple[str, str | Rejected]], refinements: Sequence[Refinement], ledger: str
) -> Iterator[str | Rejected]:
    """Of each (key, request) one version for each refinement, or the request itself where there is none to make."""
    if not refinements:
        yield from (text for _, text in requests)
        return
    asked = [
        question(f"{key}-{one}", f"prompts/refine_{one}.j2", request=text)
        for key, text in requests
        for one in refinements
        if not isinstance(text, Rejected)
    ]
    answers = asker.ask(asked, ledger)
    for _, text in requests:
        for _ in refinements:
            yield text if isinstance(text, Rejected) else next(answers)


def refined_prompts(
    kind: str,
    requests: Sequence[tuple[str, str, str | Rejected]],
    refinements: Sequence[Refinement],
    asker: Asker,
    ledger: str,
) -> Iterator[Written]:
    """Prompts of (about, key, request) so refined; `about` is the id of the row that they were made from."""
    texts = refined(asker, [(key, text) for _, key, text in requests], refinements, ledger)
    abouts = (about for about, _, _ in requests for _ in range(max(1, len(refinements))))
    for about, text in zip(abouts, texts, strict=True):
        yield text if isinstance(text, Rejected) else row(kind, user(text), made_from=(about,))

"""Requests written again: with a context, in another form, longer, or as a related one."""

from collections.abc import Iterator, Sequence

from compiler.schema.generators import Refinement
from runtime.asking import Asker, Rejected, question


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

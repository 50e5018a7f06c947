"""Opens whatever a LanguageModelRef names: weights in this process, or a server."""

from collections.abc import Iterator
from contextlib import contextmanager

from runtime.clients.request import LanguageModel
from runtime.clients.shares import Recorded
from runtime.context import Context


@contextmanager
def open_model(ref: str, ctx: Context) -> Iterator[LanguageModel]:
    """The model of this ref, to be asked as often as wanted. What opens it is imported here: servers need no torch."""
    if ctx.gathers:
        yield recorded(ref, ctx)
    elif ctx.manifest.inputs[ref].kind == "endpoint":
        from runtime.clients.endpoint import open_endpoint

        with open_endpoint(ref, ctx) as endpoint:
            yield endpoint
    else:
        from runtime.clients.policy import open_in_process

        with open_in_process(ref, ctx) as policy:
            yield policy


def recorded(ref: str, ctx: Context) -> Recorded:
    """What the model of this ref has said in this stage already, without opening it."""
    return Recorded(ctx.manifest.inputs[ref].fingerprint, ctx)

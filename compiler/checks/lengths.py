"""Answers fit the models that write them."""

from collections.abc import Iterator, Mapping

from compiler.checks.lineage import Lineage
from compiler.checks.view import View
from compiler.elaborate import ProgramStage
from compiler.stages import Stage
from compiler.stages.dialogues import Dialogues
from compiler.stages.endpoint import Endpoint
from compiler.stages.evaluate import Evaluate
from compiler.stages.generate import Generate


def check_lengths(view: View, lineages: Mapping[str, Lineage]) -> None:
    """The limit of an answer leaves room for a prompt in the longest sequence of every model that may write it."""
    for at in view.stages.values():
        for field, limit, writers in _limits(at.stage):
            for writer in writers:
                longest = _longest(view.stages[writer], lineages)
                if longest is not None and limit >= longest:
                    message = f"is {limit}, which leaves no room for a prompt in {longest} tokens"
                    view.blame(
                        at, field, message, "too-long", related=((view.stages[writer].at, "who writes the answers"),)
                    )


def _limits(stage: Stage) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """(field, most new tokens of one answer, labels of who writes them)"""
    match stage:
        case Generate():
            yield "sampling.max_new_tokens", stage.sampling.max_new_tokens, stage.policies
        case Evaluate():
            yield "max_new_tokens", stage.max_new_tokens, (stage.policy,)
        case Dialogues():
            yield "sampling.max_new_tokens", stage.sampling.max_new_tokens, (stage.policy,)
        case _:
            return


def _longest(at: ProgramStage, lineages: Mapping[str, Lineage]) -> int | None:
    if isinstance(at.stage, Endpoint):
        return at.stage.seq_length
    lineage = lineages.get(at.label)
    return lineage.model.seq_length if lineage else None

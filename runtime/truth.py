"""What can be checked of an answer without asking anybody: by the prompt's own check, or by its task family."""

from collections.abc import Mapping, Sequence
from typing import Any

from compiler.artifacts import Message
from runtime import tasks, verifiers
from runtime.tasks.base import Verdict


def verdict(family: str, messages: Sequence[Message], check: Mapping[str, Any] | None, response: str) -> Verdict | None:
    """The verdict of a response to these messages; None where nothing can check it.

    ValueError where the prompt is of a task family that cannot read it.
    """
    if check is not None:
        return verifiers.verify(check, response)
    if family not in tasks.FAMILIES:
        return None
    task = tasks.find(family).parse(messages[-1].content)
    if task is None:
        raise ValueError(f"this is no {family} prompt: {messages[-1].content!r}")
    return tasks.find(family).judge(task, response)

"""Checkable task families: `runtime/tasks/<family>.py` draws prompts, answers them, errs as people do, and judges."""

from importlib import import_module
from typing import cast, get_args

from compiler.schema.generators import Family
from runtime.tasks.base import Task, TaskFamily, Verdict

FAMILIES: tuple[str, ...] = get_args(Family)

__all__ = ["FAMILIES", "Task", "TaskFamily", "Verdict", "find"]


def find(family: str) -> TaskFamily:
    """The module of this family."""
    if family not in FAMILIES:
        raise ValueError(f"there is no task family {family!r}; there are {', '.join(FAMILIES)}")
    return cast(TaskFamily, import_module(f"runtime.tasks.{family}"))

"""What is evaluated on is never trained on: parts of a split on the two sides of an exam do not meet.

Every prompt belongs to a part of a split by its words alone, so two prompts stages share no prompt if they use the same
split and have no part in common. That is the one thing that is checked, from the spec, before anything runs.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from compiler.checks.view import View, spoken
from compiler.elaborate import ProgramStage
from compiler.errors import did_you_mean
from compiler.schema.data import Split
from compiler.stages.adopt import Adopt
from compiler.stages.evaluate import Evaluate
from compiler.stages.generate import Generate
from compiler.stages.prompts import Prompts
from compiler.stages.reward_model import RewardModel

_Exposure = frozenset[tuple[str, str]]
"""(split, part) pairs; a split is known by its content."""


def check_contamination(view: View) -> None:
    """Parts exist, and exams use parts that nothing upstream of their policy or judge has seen."""
    seen = _exposures(view)
    for at in view.stages.values():
        if isinstance(at.stage, Prompts):
            _check_parts(view, at, at.stage)
        exam = _exam_of(view, at)
        if exam is not None:
            _check_exam(view, exam, seen)


class _Exam(NamedTuple):
    """Prompts that a stage holds out, and the models that must not have learnt from them."""

    at: ProgramStage
    field: str
    prompts: ProgramStage
    learners: Sequence[tuple[str, str]]
    """(how the stage calls it, label)"""


def _exam_of(view: View, at: ProgramStage) -> _Exam | None:
    stage = at.stage
    if isinstance(stage, Evaluate):
        judge = [("the reward model of `reward`", stage.reward.model)] if stage.reward else []
        return _Exam(at, "prompts", view.stages[stage.prompts], [("`policy`", stage.policy), *judge])
    if isinstance(stage, RewardModel) and stage.responses is not None:
        responses = view.stages[stage.responses].stage
        if isinstance(responses, Generate):
            return _Exam(at, "responses", view.stages[responses.prompts], [("`init`", stage.init)])
    return None


def _check_parts(view: View, at: ProgramStage, stage: Prompts) -> None:
    for index, part in enumerate(stage.parts):
        if part not in stage.split.shares:
            hint = did_you_mean(part, stage.split.shares)
            view.blame(at, f"parts.{index}", f"the split has no part {part!r}", "unknown-name", hint=hint)
        elif part in stage.parts[:index]:
            view.blame(at, f"parts.{index}", f"{part!r} stands twice", "duplicate-value")


def _exposures(view: View) -> Mapping[str, _Exposure]:
    """For every stage the parts of all prompts that it rests on; stages come in topological order."""
    found: dict[str, _Exposure] = {}
    for label, at in view.stages.items():
        # What data is decontaminated against leaves it, and is not in it.
        inputs = {found[ref.label] for ref in at.refs if not ref.path.startswith("against.")}
        exposure = next(iter(inputs)) if len(inputs) == 1 else frozenset[tuple[str, str]]().union(*inputs)
        if isinstance(at.stage, Prompts):
            exposure = exposure | _parts(at.stage)
        elif isinstance(at.stage, Adopt) and at.stage.artifact == "prompts":
            exposure = exposure | _adopted(label)
        found[label] = exposure
    return found


_ADOPTED = "adopted"


def _adopted(label: str) -> _Exposure:
    """Prompts that no split divides: all of them, or none."""
    return frozenset({(_ADOPTED, label)})


def _parts(stage: Prompts) -> _Exposure:
    split = _name_of(stage.split)
    return frozenset((split, part) for part in stage.parts)


def _name_of(split: Split) -> str:
    return split.model_dump_json()


def _check_exam(view: View, exam: _Exam, seen: Mapping[str, _Exposure]) -> None:
    if isinstance(exam.prompts.stage, Adopt):
        _check_adopted_exam(view, exam, seen)
    if not isinstance(exam.prompts.stage, Prompts):
        return
    mine = _parts(exam.prompts.stage)
    split = exam.prompts.stage.split
    told: _Exposure = frozenset()
    for who, learner in exam.learners:
        shared = (mine & seen[learner]) - told
        others = frozenset(part for part in seen[learner] - told if part[0] not in (_name_of(split), _ADOPTED))
        told |= seen[learner]
        if not shared and not others:
            continue
        source = _source(view, learner, shared or others)
        held_out = [(exam.prompts.at, "the held-out prompts")] if source is not exam.prompts else []
        if shared:
            names = ", ".join(repr(part) for _, part in sorted(shared))
            parts = f"part{'s' if len(shared) > 1 else ''} {names}"
            message = f"{who} has learnt from the {parts} of the same split, in {spoken(source)!r}"
            hint = _hint_of_free_parts(split, seen[learner])
        else:
            message = f"{who} has learnt from prompts divided by another split, in {spoken(source)!r}"
            hint = "they may be the same prompts: use one split for both"
        related = (*held_out, (source.at, "learnt from"))
        view.blame(exam.at, exam.field, message, "contamination", hint=hint, related=related)


def _check_adopted_exam(view: View, exam: _Exam, seen: Mapping[str, _Exposure]) -> None:
    for who, learner in exam.learners:
        if _adopted(exam.prompts.label) <= seen[learner]:
            message = f"{who} rests on these prompts"
            hint = "examine it on others, or drop them from its data with a dedup stage (`against`)"
            related = ((exam.prompts.at, "the held-out prompts"),)
            view.blame(exam.at, exam.field, message, "contamination", hint=hint, related=related)


def _hint_of_free_parts(split: Split, seen: _Exposure) -> str:
    free = [part for part in split.shares if (_name_of(split), part) not in seen]
    return f"parts that it has not seen: {', '.join(free)}" if free else "give the split a part for this alone"


def _source(view: View, learner: str, parts: _Exposure) -> ProgramStage:
    """The nearest prompts stage upstream that has one of these parts."""
    queue, reached = deque([learner]), {learner}
    while queue:
        at = view.stages[queue.popleft()]
        if isinstance(at.stage, Prompts) and _parts(at.stage) & parts:
            return at
        for ref in at.refs:
            if ref.label not in reached:
                reached.add(ref.label)
                queue.append(ref.label)
    raise AssertionError("an exposure comes from a prompts stage")

"""What is evaluated on is never trained on: parts of a split on the two sides of an exam do not meet.

Every prompt belongs to a part of a split by its words alone, so two prompts stages share no prompt if they use the same
split and have no part in common. That is the one thing that is checked, from the spec, before anything runs.
"""

from collections import deque
from collections.abc import Mapping

from compiler.checks.view import View, spoken
from compiler.elaborate import ProgramStage
from compiler.errors import did_you_mean
from compiler.schema.data import Split
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
        stage = at.stage
        if isinstance(stage, Prompts):
            _check_parts(view, at, stage)
        elif isinstance(stage, Evaluate):
            _check_exam(view, at, "prompts", view.stages[stage.prompts], "policy", stage.policy, seen)
            if stage.reward is not None:
                _check_exam(view, at, "prompts", view.stages[stage.prompts], "reward.model", stage.reward.model, seen)
        elif isinstance(stage, RewardModel):
            responses = view.stages[stage.responses].stage
            if isinstance(responses, Generate):
                _check_exam(view, at, "responses", view.stages[responses.prompts], "init", stage.init, seen)


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
        inputs = {found[ref.label] for ref in at.refs}
        exposure = next(iter(inputs)) if len(inputs) == 1 else frozenset[tuple[str, str]]().union(*inputs)
        if isinstance(at.stage, Prompts):
            exposure = exposure | _parts(at.stage)
        found[label] = exposure
    return found


def _parts(stage: Prompts) -> _Exposure:
    split = _name_of(stage.split)
    return frozenset((split, part) for part in stage.parts)


def _name_of(split: Split) -> str:
    return split.model_dump_json()


def _check_exam(
    view: View,
    at: ProgramStage,
    field: str,
    prompts: ProgramStage,
    side: str,
    learner: str,
    seen: Mapping[str, _Exposure],
) -> None:
    """`prompts` are the exam of `at` (its field says so); `learner`, in the field `side`, must not rest on them."""
    if not isinstance(prompts.stage, Prompts):
        return
    mine = _parts(prompts.stage)
    split = _name_of(prompts.stage.split)
    shared = sorted(part for _, part in mine & seen[learner])
    others = {name for name, _ in seen[learner]} - {split}
    if not shared and not others:
        return
    source = _source(view, learner, mine if shared else None, split)
    used = {part for name, part in seen[learner] if name == split}
    free = [part for part in prompts.stage.split.shares if part not in used]
    held_out = [(prompts.at, "the held-out prompts")] if source is not prompts else []
    related = (*held_out, (source.at, "learnt from"))
    who = f"`{side}`" if side != "reward.model" else "the reward model of `reward`"
    if shared:
        names = ", ".join(repr(part) for part in shared)
        parts = f"part{'s' if len(shared) > 1 else ''} {names}"
        message = f"{who} has learnt from the {parts} of the same split, in {spoken(source)!r}"
        hint = f"parts that it has not seen: {', '.join(free)}" if free else "give the split a part for this alone"
    else:
        message = f"{who} has learnt from prompts divided by another split, in {spoken(source)!r}"
        hint = "they may be the same prompts: use one split for both"
    view.blame(at, field, message, "contamination", hint=hint, related=related)


def _source(view: View, learner: str, parts: _Exposure | None, split: str) -> ProgramStage:
    """The nearest prompts stage upstream that has one of these parts, or else another split."""
    queue, reached = deque([learner]), {learner}
    while queue:
        at = view.stages[queue.popleft()]
        if isinstance(at.stage, Prompts):
            own = _parts(at.stage)
            if (own & parts) if parts is not None else any(name != split for name, _ in own):
                return at
        for ref in at.refs:
            if ref.label not in reached:
                reached.add(ref.label)
                queue.append(ref.label)
    raise AssertionError("an exposure comes from a prompts stage")

"""What a pinned artifact must have in common with the recipe around it: the model's shape, and its tokenizer."""

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.artifacts import ArtifactRecord, Kind
from compiler.checks.view import field_place
from compiler.errors import Problem, SpecError
from compiler.graph import StageGraph
from compiler.plan import Plan
from compiler.planning.differences import differences, in_words
from compiler.planning.inventory import Inventory
from compiler.planning.pins import lineage
from compiler.reading.tree import span


def check_pins(plan: Plan, graph: StageGraph, inventory: Inventory) -> None:
    """Raises SpecError with every pinned policy or reward model that stages after it could not go on from.

    An artifact whose ancestors are gone from the store is taken on trust.
    """
    prints = {stage.label: stage.fingerprint for stage in plan.stages}
    problems = [
        problem
        for stage in plan.stages
        if stage.pinned and stage.stage.makes in (Kind.POLICY, Kind.REWARD_MODEL)
        for problem in _problems(stage.label, inventory.records[stage.fingerprint], graph, inventory, prints)
    ]
    if problems:
        raise SpecError(problems)


def _problems(
    label: str, record: ArtifactRecord, graph: StageGraph, inventory: Inventory, prints: Mapping[str, str]
) -> Iterator[Problem]:
    at = graph.stage(label)
    place, path = span(field_place(at, "pin")), f"{at.path}.pin"
    model = graph.policy_model(label)
    root = list(lineage(record, inventory))[-1]
    before: Any = root.stage.get("model")
    if model is not None and isinstance(before, Mapping):
        now = model.model_dump(mode="json")
        other = [f"{path} {in_words(old)} there, {in_words(new)} here" for path, old, new in differences(before, now)]
        if other:
            message = f"the pinned artifact is a model of another shape: {', '.join(other[:3])}"
            yield Problem(place, path, message, "wrong-model", "change the model in the recipe, or drop the pin")
    tokenizer = root.stage.get("tokenizer")
    spoken = graph.policy_tokenizer(label) if model is not None else ""
    if isinstance(tokenizer, str) and spoken and tokenizer != prints[spoken]:
        message = f"the pinned artifact speaks the tokenizer {tokenizer}, but {spoken!r} is now {prints[spoken]}"
        hint = f"pin {spoken!r} too: `pin: {tokenizer}`"
        yield Problem(place, path, message, "wrong-tokenizer", hint, ((graph.stage(spoken).span, "the tokenizer"),))

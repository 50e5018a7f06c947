"""Pins: the sealed artifacts that a user keeps on purpose, whatever the recipe says by now.

    pins = read_pins(graph, inventory)      # label -> record; raises SpecError where a pin means no one artifact

A pinned stage is its artifact: what rests on it takes that artifact's fingerprint, and nothing is run for its sake.
"""

from collections.abc import Iterator, Mapping, Sequence

from compiler.artifacts import ArtifactRecord, Kind
from compiler.checks.view import field_place
from compiler.elaborate import ProgramStage
from compiler.errors import SpecError
from compiler.graph import StageGraph
from compiler.planning.inventory import Inventory
from compiler.reading.problems import Problems

_SHOWN = 4


def read_pins(graph: StageGraph, inventory: Inventory) -> Mapping[str, ArtifactRecord]:
    """Label -> the sealed artifact that its stage is pinned to."""
    problems = Problems()
    pins = {}
    for label in graph.order():
        at = graph.stage(label)
        if at.pin:
            record = _find(label, at, inventory, problems)
            if record is not None:
                pins[label] = record
    if problems:
        raise SpecError(problems.found)
    return pins


def _find(label: str, at: ProgramStage, inventory: Inventory, problems: Problems) -> ArtifactRecord | None:
    place, path = field_place(at, "pin"), f"{at.path}.pin"
    found = [record for print_, record in inventory.records.items() if print_.startswith(at.pin)]
    fitting = [record for record in found if _fits(record, at)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        message = f"{len(fitting)} sealed artifacts of kind {at.kind} begin with {at.pin}"
        problems.add(place, path, message, "wrong-value", hint=f"write more of it: {_listed(fitting)}")
    elif found:
        sealed = " and ".join(dict.fromkeys(f"{_what(record)} (made as {record.label!r})" for record in found))
        message = f"{at.pin} is {sealed}, but this stage is {_what_stage(at)}"
        problems.add(place, path, message, "wrong-artifact", hint=_hint(label, at, inventory))
    else:
        message = f"the store has no sealed artifact that begins with {at.pin}"
        problems.add(place, path, message, "unknown-name", hint=_hint(label, at, inventory))
    return None


def _fits(record: ArtifactRecord, at: ProgramStage) -> bool:
    return record.kind == at.kind and _made(record, at) == at.stage.makes


def _made(record: ArtifactRecord, at: ProgramStage) -> str:
    field = at.stage.output_field
    return str(record.stage.get(field)) if field else at.stage.makes


def _what(record: ArtifactRecord) -> str:
    return f"a sealed {record.kind}" + (f" of {record.stage['rows']}" if "rows" in record.stage else "")


def _what_stage(at: ProgramStage) -> str:
    return f"{at.kind}" + (f" of {Kind(at.stage.makes)}" if at.stage.output_field else "")


def _hint(label: str, at: ProgramStage, inventory: Inventory) -> str:
    fitting = [record for record in inventory.relatives(at.kind, label) if _fits(record, at)]
    return f"sealed ones, the latest first: {_listed(fitting)}" if fitting else f"no {at.kind} is sealed in this store"


def _listed(records: Sequence[ArtifactRecord]) -> str:
    return ", ".join(record.fingerprint for record in records[:_SHOWN])


def lineage(record: ArtifactRecord, inventory: Inventory) -> Iterator[ArtifactRecord]:
    """The record and those that its weights started from, as far as the store still holds them."""
    seen: set[str] = set()
    current: ArtifactRecord | None = record
    while current is not None and current.fingerprint not in seen:
        seen.add(current.fingerprint)
        yield current
        current = inventory.records.get(str(current.stage.get("init")))

"""What a check sees: the stages, their edges, and how to say where something is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass

from compiler.codes import Code
from compiler.elaborate import ProgramStage
from compiler.reading.problems import Problems
from compiler.reading.tree import Place, find


@dataclass(frozen=True)
class View:
    """The stages of a program whose refs all exist, in topological order."""

    stages: Mapping[str, ProgramStage]
    problems: Problems

    def blame(
        self,
        stage: ProgramStage,
        field: str,
        message: str,
        code: Code,
        *,
        hint: str = "",
        related: tuple[tuple[Place, str], ...] = (),
    ) -> None:
        """Notes what is wrong with a field of a stage."""
        ref = next((ref for ref in stage.refs if ref.path == field), None)
        at = ref.at if ref else field_place(stage, field)
        used = ((ref.used, "used here"),) if ref and ref.used and ref.used != at else ()
        path = f"{stage.path}.{field}"
        self.problems.add(at, path, message, code, hint=hint, related=related + used, label=stage.label)

    def blame_key(self, stage: ProgramStage, field: str, message: str, code: Code, *, hint: str = "") -> None:
        """Notes what is wrong with the key of an entry."""
        entry = find(stage.tree, field)
        at = entry.at if entry else stage.at
        self.problems.add(at, f"{stage.path}.{field}", message, code, hint=hint, label=stage.label)

    def name_rounds(self) -> None:
        """Lets each problem say in which rounds and at which points it is, where it is not in all."""
        if not self.problems:
            return
        written: dict[str, list[str]] = {}
        for stage in self.stages.values():
            written.setdefault(stage.path, []).append(stage.label)
        self.problems.name_rounds({label: len(labels) for labels in written.values() for label in labels})


def field_place(stage: ProgramStage, field: str) -> Place:
    """Where a field's value stands, or else the innermost mapping around it, or else the stage."""
    while field:
        entry = find(stage.tree, field)
        if entry is not None:
            return entry.value.at
        field = field.rpartition(".")[0]
    return stage.at


def spoken(stage: ProgramStage) -> str:
    """The stage's name in a message: the same in every round and at every point, so that a mistake is told once."""
    return stage.path.removeprefix("pipeline.").replace(".stages.", ".")

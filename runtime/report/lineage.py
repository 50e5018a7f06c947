"""Everything that the evaluations were made from: artifacts upstream, each fingerprint once, inputs before users."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from compiler.artifacts import ArtifactRecord
from runtime.store import is_sealed, read_record


@dataclass(frozen=True)
class Made:
    """One sealed artifact and what it is called here."""

    label: str
    """The name by which the stage nearest to the report calls it."""
    folder: Path
    record: ArtifactRecord

    @property
    def kind(self) -> str:
        """The stage kind."""
        return self.record.kind

    @property
    def fingerprint(self) -> str:
        """Its identity."""
        return self.record.fingerprint

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the stage told about its result."""
        return self.record.facts

    @property
    def point(self) -> str:
        """The point of a sweep, or nothing."""
        return self.label.partition("@")[2]

    @property
    def stage_name(self) -> str:
        """The label without its point: equal for all points of a sweep."""
        return self.label.partition("@")[0]


@dataclass(frozen=True)
class Lineage:
    """Artifacts in an order in which they could have been made."""

    made: tuple[Made, ...]
    missing: tuple[str, ...]
    """Labels of what is no longer in the store; what it was made from is not known."""

    @cached_property
    def by_fingerprint(self) -> Mapping[str, Made]:
        """Every artifact by its identity."""
        return {one.fingerprint: one for one in self.made}

    def of(self, *kinds: str) -> tuple[Made, ...]:
        """The artifacts of these stage kinds."""
        return tuple(one for one in self.made if one.kind in kinds)

    @property
    def starts_from(self) -> dict[str, str]:
        """Fingerprint of a policy -> fingerprint of the policy that its training started from."""
        return {one.fingerprint: str(one.record.stage["init"]) for one in self.made if one.record.stage.get("init")}


def trace(roots: Mapping[str, Path]) -> Lineage:
    """Walks from these sealed folders (by label) up through their records' inputs."""
    made: dict[str, Made] = {}
    missing: dict[str, str] = {}
    wave = list(roots.items())
    while wave:
        found = [_open(label, folder) for label, folder in wave if is_sealed(folder)]
        missing.update((folder.name, label) for label, folder in wave if not is_sealed(folder))
        for one in found:
            made.setdefault(one.fingerprint, one)
        wave = list(_inputs_of(found, known={*made, *missing}))
    return Lineage(tuple(_in_order(made)), tuple(sorted(missing.values())))


def read_lines(folder: Path, file: str) -> list[dict[str, Any]]:
    """The JSON lines of a file in an artifact."""
    with (folder / file).open("rb") as lines:
        return [json.loads(line) for line in lines]


def _open(label: str, folder: Path) -> Made:
    return Made(label, folder, read_record(folder))


def _inputs_of(made: Sequence[Made], known: set[str]) -> Iterator[tuple[str, Path]]:
    """`<store>/<kind>/<fingerprint>` is where every artifact lies, so the store is two folders up."""
    told = set(known)
    for one in made:
        for source in one.record.inputs.values():
            if source.fingerprint not in told:
                told.add(source.fingerprint)
                yield source.stage, one.folder.parent.parent / source.kind / source.fingerprint


def _in_order(made: Mapping[str, Made]) -> Iterator[Made]:
    """Depth first, so that the order reads like the pipeline: what a stage needs stands right before it."""
    done: set[str] = set()
    for root in made.values():
        stack = [(root, False)]
        while stack:
            one, inputs_done = stack.pop()
            if one.fingerprint in done:
                continue
            if inputs_done:
                done.add(one.fingerprint)
                yield one
                continue
            stack.append((one, True))
            needs = [made[each.fingerprint] for each in one.record.inputs.values() if each.fingerprint in made]
            stack += [(need, False) for need in reversed(needs)]

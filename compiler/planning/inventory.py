"""What a store holds, as a value: the records of its sealed artifacts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import nlargest
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from compiler.artifacts import ArtifactRecord

K = TypeVar("K")


@dataclass(frozen=True)
class Inventory:
    """Sealed artifacts by fingerprint."""

    records: Mapping[str, ArtifactRecord]

    def relatives(self, kind: str, label: str) -> Sequence[ArtifactRecord]:
        """The latest sealed artifacts of this stage kind and label; of the kind alone, where the label is new."""
        return self._by_label.get((kind, label)) or self._by_kind.get(kind, ())

    @cached_property
    def _by_label(self) -> Mapping[tuple[str, str], Sequence[ArtifactRecord]]:
        return _latest(((record.kind, record.label), record) for record in self.records.values())

    @cached_property
    def _by_kind(self) -> Mapping[str, Sequence[ArtifactRecord]]:
        return _latest((record.kind, record) for record in self.records.values())


_MOST_RELATIVES = 50


def _latest(records: Iterable[tuple[K, ArtifactRecord]]) -> Mapping[K, Sequence[ArtifactRecord]]:
    """The last sealed of each group, latest first: as many as say enough of what has changed."""
    groups: dict[K, list[ArtifactRecord]] = {}
    for key, record in records:
        groups.setdefault(key, []).append(record)
    return {key: nlargest(_MOST_RELATIVES, group, key=_sealed) for key, group in groups.items()}


def _sealed(record: ArtifactRecord) -> str:
    return str(record.provenance.get("sealed", ""))


EMPTY = Inventory(MappingProxyType({}))


def artifact_path(store: Path, kind: str, fingerprint: str) -> Path:
    """Where the artifact of this identity lies, or will lie."""
    return store / "store" / kind / fingerprint


def read_inventory(store: Path) -> Inventory:
    """The records of everything sealed under this store; unreadable records count as not sealed."""
    records = {}
    for file in sorted((store / "store").glob("*/*/artifact.json")):
        try:
            record = ArtifactRecord.model_validate_json(file.read_bytes())
        except ValueError:
            continue
        if file.parent.name == record.fingerprint:
            records[record.fingerprint] = record
    return Inventory(MappingProxyType(records))

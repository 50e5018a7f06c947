"""What a store holds, as a value: the records of its sealed artifacts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from compiler.artifacts import ArtifactRecord


@dataclass(frozen=True)
class Inventory:
    """Sealed artifacts by fingerprint."""

    records: Mapping[str, ArtifactRecord]

    def relatives(self, kind: str) -> tuple[ArtifactRecord, ...]:
        """Every sealed artifact of this stage kind."""
        return tuple(record for record in self.records.values() if record.kind == kind)


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

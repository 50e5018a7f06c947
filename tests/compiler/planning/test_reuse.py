"""What a plan says of a stage that runs: how it differs from what is sealed."""

from types import MappingProxyType
from typing import Any

from compiler.artifacts import ArtifactRecord
from compiler.planning.inventory import EMPTY, Inventory
from compiler.planning.reuse import why_run


def _sealed(label: str, sealed: str = "2026-01-01T00:00:00+00:00", **stage: Any) -> ArtifactRecord:
    return ArtifactRecord(
        kind="sft",
        fingerprint=f"{label}-{sealed}-{sorted(stage.items())}",
        label=label,
        stage={"kind": "sft", **stage},
        inputs={},
        files={},
        bytes=0,
        provenance={"sealed": sealed},
    )


def _why(label: str, stage: dict[str, Any], *records: ArtifactRecord) -> str:
    inventory = Inventory(MappingProxyType({record.fingerprint: record for record in records}))
    return why_run(label, "sft", {"kind": "sft", **stage}, inventory, {"1" * 16: "base"})


def test_a_stage_without_relatives_is_new() -> None:
    assert why_run("tuned", "sft", {"kind": "sft"}, EMPTY, {}) == "new"


def test_a_stage_is_compared_with_what_had_its_name() -> None:
    records = (_sealed("other", epochs=2), _sealed("tuned", epochs=1))
    assert _why("tuned", {"epochs": 2}, *records) == "epochs 1 -> 2"


def test_a_stage_of_a_new_name_is_compared_with_the_nearest_of_its_kind() -> None:
    records = (_sealed("first", epochs=1, seed=1), _sealed("second", epochs=2, seed=1))
    assert _why("third", {"epochs": 2, "seed": 7}, *records) == "seed 1 -> 7"


def test_a_changed_input_is_called_by_its_name() -> None:
    assert _why("tuned", {"init": "1" * 16}, _sealed("tuned", init="0" * 16)) == "input base changed"


def test_of_very_many_relatives_the_latest_are_compared() -> None:
    old = [_sealed("tuned", f"2026-01-01T00:00:00+00:{n:02}", epochs=1, seed=n) for n in range(60)]
    late = _sealed("tuned", "2026-02-01T00:00:00+00:00", epochs=1, seed=100)
    inventory = Inventory(MappingProxyType({record.fingerprint: record for record in (late, *old)}))
    relatives = inventory.relatives("sft", "tuned")
    assert relatives[0] == late
    assert len(relatives) < len(old)

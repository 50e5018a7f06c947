"""What a stage holds on this machine: its relatives' peaks before any floor."""

from typing import Any

from compiler.artifacts import ArtifactRecord
from compiler.manifest import Placement
from compiler.planning.resident import FLOOR_BYTES, TRAINED_BYTES, resident_bytes
from compiler.schema.model import Layout


def record(**measured: Any) -> ArtifactRecord:
    return ArtifactRecord(
        kind="sft", fingerprint="f", label="sft", stage={}, inputs={}, files={}, bytes=0, measured=measured
    )


def test_measured_peaks_go_before_the_floor_and_count_for_every_rank() -> None:
    relatives = [record(peak_rss_bytes=3e9), record(peak_rss_bytes=5e9), record()]
    assert resident_bytes(Placement(), relatives, 10**9, trains=True) == 5e9
    assert resident_bytes(Placement(layout=Layout(tp=2)), relatives, 10**9, trains=True) == 10e9


def test_without_relatives_a_model_takes_what_training_keeps_of_each_parameter() -> None:
    assert resident_bytes(Placement(), [record()], 0, trains=False) == FLOOR_BYTES
    assert resident_bytes(Placement(), [], 10**9, trains=True) == FLOOR_BYTES + TRAINED_BYTES * 10**9
    # Tensor-parallel ranks divide the model, data-parallel ones repeat it.
    divided = resident_bytes(Placement(layout=Layout(tp=2)), [], 10**9, trains=True)
    repeated = resident_bytes(Placement(layout=Layout(dp=2)), [], 10**9, trains=True)
    assert divided == 2 * FLOOR_BYTES + TRAINED_BYTES * 10**9
    assert repeated == 2 * FLOOR_BYTES + 2 * TRAINED_BYTES * 10**9

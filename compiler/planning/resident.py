"""Bytes that a stage holds on the machine at its peak: what its relatives held, or a floor and its model.

    resident_bytes(placement, relatives, parameters, trains=True)

What is learnt from the store is the peak of the first rank; the others are taken for its equals.
"""

from collections.abc import Sequence

from compiler.artifacts import ArtifactRecord
from compiler.manifest import Placement

FLOOR_BYTES = 350_000_000
"""Of one rank with torch and Megatron-core loaded, before its model: measured, 294 to 338 MB. Stages that load neither
take 57 to 67 MB; which do is not known here."""
TRAINED_BYTES = 24
"""Of each parameter in training on cores: its fp32 value, gradient, two moments, and a copy of it and of the moments
while a checkpoint is written or read; activations are not counted."""
ASKED_BYTES = 8
"""Of each parameter that is only asked: itself, and the file that it is read from."""


def resident_bytes(placement: Placement, relatives: Sequence[ArtifactRecord], parameters: int, *, trains: bool) -> int:
    """Of all ranks. `parameters`: of the model that the stage trains or asks in its own process, 0 where there is none.

    `relatives`: sealed artifacts of the same kind, whose measured peaks go before the floor.
    """
    ranks = placement.layout.world_size
    measured = max((int(record.measured.get("peak_rss_bytes", 0)) for record in relatives), default=0)
    if measured:
        return ranks * measured
    held = parameters / (placement.layout.tp * placement.layout.pp)
    return round(ranks * (FLOOR_BYTES + held * (TRAINED_BYTES if trains else ASKED_BYTES)))

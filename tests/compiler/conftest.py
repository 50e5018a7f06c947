"""What tests of several passes share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from compiler.artifacts import ArtifactRecord
from compiler.pipeline import compile_plan
from compiler.plan import PlannedStage
from compiler.planning.inventory import artifact_path

Seal = Callable[..., dict[str, PlannedStage]]


@pytest.fixture
def seal() -> Seal:
    """`seal(recipe, store, *sets)` leaves the records of a run in which every stage was sealed; it gives the stages.

    `plan` reads nothing else of an artifact.
    """

    def seal(recipe: Path, store: Path, *sets: str) -> dict[str, PlannedStage]:
        plan = compile_plan(recipe, list(sets), cluster="laptop", store=store)
        for stage in plan.to_run:
            folder = artifact_path(store, stage.kind, stage.fingerprint)
            folder.mkdir(parents=True)
            record = ArtifactRecord(
                kind=stage.kind,
                fingerprint=stage.fingerprint,
                label=stage.label,
                stage=dict(stage.identity),
                inputs={},
                files={},
                bytes=0,
                measured={"wall_s": 36.0},
            )
            (folder / "artifact.json").write_text(record.model_dump_json())
        return {stage.label: stage for stage in plan.stages}

    return seal

"""Whose turn it is, and what a job does that came too early or too late."""

from pathlib import Path

import pytest

from compiler.journal import append_event, read_events
from compiler.legs import checkpoint_folder, checkpoint_name
from compiler.manifest import Manifest
from compiler.pipeline import compile_bundle, compile_plan
from runtime.legs import TooEarlyError, is_its_turn
from runtime.worker import work

RECIPE = Path(__file__).parents[1] / "recipes" / "ramp.yaml"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The manifest of a stage of 250 steps by one rank and as many by two."""
    plan = compile_plan(RECIPE, [], cluster="laptop", store=tmp_path)
    bundle = compile_bundle(plan, RECIPE, store=tmp_path, run=tmp_path / "run")
    file = tmp_path / "base.json"
    file.write_text(bundle.files["manifests/base.json"], encoding="utf-8")
    return file


@pytest.fixture
def manifest(file: Path) -> Manifest:
    return Manifest.model_validate_json(file.read_bytes())


def keep(manifest: Manifest, steps: int) -> None:
    (checkpoint_folder(Path(manifest.scratch)) / checkpoint_name(steps)).mkdir(parents=True)


def told(manifest: Manifest) -> list[tuple[int, int]]:
    return [
        (event["step"], event["ranks"])
        for event in read_events(Path(manifest.journal))
        if event["event"] == "handed_over"
    ]


def test_a_job_of_the_size_that_the_next_step_asks_for_goes_on(manifest: Manifest) -> None:
    assert is_its_turn(manifest, 1, "a")
    keep(manifest, 249)
    assert is_its_turn(manifest, 1, "b")
    keep(manifest, 250)
    assert is_its_turn(manifest, 2, "c")
    assert told(manifest) == []


def test_a_job_whose_leg_is_over_ends_well_and_leaves_the_stage_to_others(manifest: Manifest) -> None:
    keep(manifest, 250)
    assert not is_its_turn(manifest, 1, "a")
    assert told(manifest) == [(250, 2)]


def test_a_job_that_comes_too_early_fails_so_that_nothing_starts_that_needs_the_stage(manifest: Manifest) -> None:
    keep(manifest, 40)
    with pytest.raises(TooEarlyError, match="step 40 is for a number of ranks of 1, and this job has 2"):
        is_its_turn(manifest, 2, "a")
    assert told(manifest) == [(40, 1)]


def test_a_size_that_no_leg_has_is_refused(manifest: Manifest) -> None:
    with pytest.raises(ValueError, match="base is for 1 or 2 ranks, and this job has 3"):
        is_its_turn(manifest, 3, "a")


@pytest.fixture
def ready(file: Path, manifest: Manifest) -> Path:
    """The manifest, with all that the stage needs sealed."""
    for found in manifest.inputs.values():
        Path(found.path).mkdir(parents=True)
        (Path(found.path) / "artifact.json").write_text("{}")
    return file


def test_the_other_ranks_of_a_job_that_is_not_its_turn_end_with_it(ready: Path, manifest: Manifest) -> None:
    with pytest.raises(TooEarlyError):
        work(ready, rank=0, world_size=2, attempt="a")
    # Without a word of rank 0 it would wait for minutes.
    work(ready, rank=1, world_size=2, attempt="a")
    assert [event["event"] for event in read_events(Path(manifest.journal))] == ["started", "handed_over"]


def test_coming_too_early_is_no_failure_because_of_which_the_rest_of_a_chain_would_give_up(
    ready: Path, manifest: Manifest
) -> None:
    append_event(Path(manifest.journal), "submitting", number=1, leg=0)
    for attempt in ("a", "b"):
        with pytest.raises(TooEarlyError):
            work(ready, rank=0, world_size=2, attempt=attempt, follows=True)
    keep(manifest, 250)
    work(ready, rank=0, world_size=1, attempt="c", follows=True)
    assert told(manifest) == [(0, 1), (0, 1), (250, 2)]

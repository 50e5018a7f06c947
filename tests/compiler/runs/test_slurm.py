"""Which jobs make up a stage's chain, told from its files."""

from pathlib import Path

import pytest

from compiler.journal import append_event
from compiler.legs import checkpoint_folder, checkpoint_name
from compiler.manifest import Manifest
from compiler.pipeline import compile_bundle, compile_plan
from compiler.runs.layout import RunJob, journal_path, manifest_name, read_jobs
from compiler.runs.slurm import _legs_to_submit
from compiler.submit import write_bundle

RECIPE = Path(__file__).parents[2] / "recipes" / "ramp.yaml"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The run directory of a stage of 250 steps by one rank and as many by two."""
    run = tmp_path / "runs" / "one"
    plan = compile_plan(RECIPE, [], cluster="laptop", store=tmp_path)
    write_bundle(compile_bundle(plan, RECIPE, store=tmp_path, run=run), run)
    return run


def base(run: Path, *chain: int) -> RunJob:
    job = next(job for job in read_jobs(run).jobs if job.label == "base")
    assert len(job.legs) == len(job.chain) == 2
    return job.model_copy(update={"chain": chain})


def keep(run: Path, steps: int) -> None:
    scratch = Path(Manifest.model_validate_json((run / manifest_name("base")).read_bytes()).scratch)
    (checkpoint_folder(scratch) / checkpoint_name(steps)).mkdir(parents=True)


def test_a_chain_has_a_job_of_each_leg_and_the_spare_ones_of_a_leg_stand_beside_it(run: Path) -> None:
    assert _legs_to_submit(run, base(run, 1, 1), begun=False) == [0, 1]
    assert _legs_to_submit(run, base(run, 2, 3), begun=False) == [0, 0, 1, 1, 1]


def test_a_new_chain_leaves_out_the_legs_that_are_over(run: Path) -> None:
    keep(run, 240)
    assert _legs_to_submit(run, base(run, 2, 3), begun=False) == [0, 0, 1, 1, 1]
    keep(run, 250)
    assert _legs_to_submit(run, base(run, 2, 3), begun=False) == [1, 1, 1]


def test_a_chain_that_was_begun_stays_the_one_that_it_was(run: Path) -> None:
    for number, leg in enumerate((0, 0, 1), start=1):
        append_event(journal_path(run, "base"), "submitting", number=number, leg=leg)
        append_event(journal_path(run, "base"), "queued", job_id=str(number))
    keep(run, 250)
    assert _legs_to_submit(run, base(run, 2, 3), begun=True) == [0, 0, 1, 1, 1]
    append_event(journal_path(run, "base"), "submitting", number=1, leg=1)
    assert _legs_to_submit(run, base(run, 2, 3), begun=True) == [1, 1, 1]

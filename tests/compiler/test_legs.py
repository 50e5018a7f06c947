"""Which ranks make which steps, and what a launcher makes of it."""

from pathlib import Path

import pytest

from compiler.clusters import find_cluster
from compiler.legs import Leg, checkpoint_folder, checkpoint_name, leg_at, legs_of, steps_done
from compiler.manifest import Placement
from compiler.pipeline import compile_bundle, compile_plan
from compiler.plan import PlannedStage, chain, segments
from compiler.schema.model import Layout
from compiler.schema.training import RampStep
from compiler.stages.pretrain import Phase, Pretrain

RECIPE = Path(__file__).parents[1] / "recipes" / "ramp.yaml"
SPECS = Path(__file__).parents[2] / "specs"


def pretrain(*phases: list[tuple[int, int]]) -> Pretrain:
    """Phases of (global batch size, steps)."""
    return Pretrain.model_construct(
        seq_length=10,
        phases=tuple(
            Phase.model_construct(
                batch_ramp=tuple(RampStep(global_batch_size=batch, tokens=10 * batch * steps) for batch, steps in ramp)
            )
            for ramp in phases
        ),
    )


def placement(dp: int, **dp_at_batch: int) -> Placement:
    named = {size.removeprefix("b"): ranks for size, ranks in dp_at_batch.items()}
    return Placement(layout=Layout(tp=2, pp=3, dp=dp), dp_at_batch=named)


def test_a_leg_ends_where_the_ranks_change_and_not_where_only_the_batch_does() -> None:
    stage = pretrain([(8, 5), (16, 7), (32, 11)], [(32, 13), (8, 3)])
    assert legs_of(stage, placement(4)) == (Leg(ranks=24),)
    found = legs_of(stage, placement(4, b8=1, b16=1))
    assert found == (Leg(ranks=6, end=12), Leg(ranks=24, end=36), Leg(ranks=6))


def test_every_step_is_made_by_the_ranks_of_its_batch() -> None:
    ramps = [(8, 5), (16, 7), (32, 11)], [(16, 13), (8, 3)]
    where = placement(4, b8=1, b16=2)
    legs = legs_of(pretrain(*ramps), where)
    batches = [batch for ramp in ramps for batch, steps in ramp for _ in range(steps)]
    assert [legs[leg_at(legs, step)].ranks for step in range(len(batches))] == [where.ranks_at(one) for one in batches]


def test_a_stage_of_one_batch_has_one_leg_with_the_ranks_of_that_batch() -> None:
    stage = compile_plan(RECIPE.parent / "micro.yaml", [], cluster="laptop", store=Path("none"))
    sft = next(one for one in stage.stages if one.label == "sft")
    assert legs_of(sft.stage, placement(4, b16=2)) == (Leg(ranks=12),)
    assert legs_of(sft.stage, placement(4)) == (Leg(ranks=24),)


def test_a_placement_with_other_ranks_changes_how_many_see_different_data_and_no_more() -> None:
    where = placement(4, b8=1)
    assert where.with_ranks(6).layout == Layout(tp=2, pp=3, dp=1)
    assert where.with_ranks(24) == where
    assert placement(4).with_ranks(6) == placement(4)


def test_where_a_stage_is_is_told_by_its_newest_complete_checkpoint(tmp_path: Path) -> None:
    assert steps_done(tmp_path) == 0
    for name in (checkpoint_name(9), checkpoint_name(120), f".{checkpoint_name(130)}.partial"):
        (checkpoint_folder(tmp_path) / name).mkdir(parents=True)
    assert steps_done(tmp_path) == 120
    legs = (Leg(ranks=1, end=120), Leg(ranks=2))
    assert (leg_at(legs, 119), leg_at(legs, steps_done(tmp_path))) == (0, 1)


@pytest.fixture(scope="module")
def early() -> PlannedStage:
    """The report's ramp of 1,536, 3,072 and 6,144 GPUs."""
    recipe = SPECS / "experiments" / "nemotron4-340b.yaml"
    plan = compile_plan(recipe, [], cluster="h100-768", store=Path("none"))
    return next(stage for stage in plan.stages if stage.label == "early")


def test_jobs_of_a_leg_are_counted_from_its_own_share_of_the_time(early: PlannedStage) -> None:
    cluster = find_cluster("h100-768")
    # Four hours, less the two minutes of warning.
    usable_s = 4 * 3600 - 120
    seconds = [phase.steps * step_s for phase, step_s in zip(early.work.phases, early.cost.step_s, strict=True)]
    known = sum(seconds)
    starts = [-(-early.wall_s * leg_s / known // usable_s) for leg_s in seconds]
    assert segments(early, cluster) == sum(starts)
    assert chain(early, cluster) == (1, 1, 1), "what is queued again stays of its size"
    slurm = cluster.slurm.model_copy(update={"requeue": False, "spare_jobs": 2})
    assert chain(early, cluster.model_copy(update={"slurm": slurm})) == tuple(count + 2 for count in starts)


def test_each_leg_of_the_report_is_submitted_with_its_own_nodes(tmp_path: Path) -> None:
    recipe = SPECS / "experiments" / "nemotron4-340b.yaml"
    plan = compile_plan(recipe, [], cluster="h100-768", store=tmp_path)
    files = compile_bundle(plan, recipe, store=tmp_path, run=tmp_path / "run").files
    nodes = {
        name: line
        for name in files
        if name.startswith("jobs/early")
        for line in files[name].splitlines()
        if line.startswith("#SBATCH --nodes=")
    }
    assert nodes == {
        "jobs/early.sh": "#SBATCH --nodes=192",
        "jobs/early.2.sh": "#SBATCH --nodes=384",
        "jobs/early.3.sh": "#SBATCH --nodes=768",
    }

"""Learning rates against torch's own schedules and closed forms; what a record says and what it leaves out."""

import math
from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from compiler.schema.training import LearningRate

NUM_STEPS = 40


def rate(shape: str, **fields: object) -> LearningRate:
    return LearningRate.model_validate({"shape": shape, "start": 1e-2, "end": 1e-3, "warmup_steps": 5, **fields})


def of_torch(make_rest: object) -> list[float]:
    """torch's warm-up from 1/5 to the whole rate, then another of its schedules."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-2)
    warmup = LinearLR(optimizer, start_factor=1 / 5, total_iters=4)
    schedule = SequentialLR(optimizer, [warmup, make_rest(optimizer)], milestones=[5])
    found = []
    for _ in range(NUM_STEPS):
        found.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return found


def test_cosine_and_linear_are_those_of_torch() -> None:
    rest = NUM_STEPS - 1 - 5
    cosine = of_torch(lambda optimizer: CosineAnnealingLR(optimizer, T_max=rest, eta_min=1e-3))
    linear = of_torch(lambda optimizer: LinearLR(optimizer, start_factor=1.0, end_factor=0.1, total_iters=rest))
    assert [rate("cosine").at(step, NUM_STEPS) for step in range(NUM_STEPS)] == pytest.approx(cosine)
    assert [rate("linear").at(step, NUM_STEPS) for step in range(NUM_STEPS)] == pytest.approx(linear)


@pytest.mark.parametrize("shape", ["constant", "linear", "cosine", "wsd"])
def test_every_shape_warms_up_to_its_start_and_ends_at_its_end(shape: str) -> None:
    end = 1e-2 if shape == "constant" else 1e-3
    more = {"decay": {"steps": 10, "shape": "linear"}} if shape == "wsd" else {}
    found = [rate(shape, end=end, **more).at(step, NUM_STEPS) for step in range(NUM_STEPS)]
    assert found[:5] == pytest.approx([2e-3, 4e-3, 6e-3, 8e-3, 1e-2])
    assert found[5] == pytest.approx(1e-2)
    assert found[-1] == pytest.approx(end)
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(found[5:]))


@pytest.mark.parametrize(
    ("shape", "half_way"), [("linear", 0.5), ("cosine", 0.5), ("sqrt", math.sqrt(0.5))], ids=lambda value: str(value)
)
def test_wsd_is_steady_until_its_last_steps(shape: str, half_way: float) -> None:
    steady = rate("wsd", decay={"steps": 10, "shape": shape})
    found = [steady.at(step, NUM_STEPS) for step in range(NUM_STEPS)]
    assert found[5:30] == pytest.approx([1e-2] * 25)
    assert found[29] == pytest.approx(1e-2)
    assert found[34] == pytest.approx(1e-2 + (1e-3 - 1e-2) * half_way)
    assert found[30] < 1e-2


def test_a_schedule_that_continues_begins_where_the_other_ended() -> None:
    written = rate("cosine", start=None, continues="init", warmup_steps=0)
    with pytest.raises(ValueError, match="continues another"):
        written.at(0, NUM_STEPS)
    assert written.after(4e-3).at(0, NUM_STEPS) == pytest.approx(4e-3)
    assert written.after(4e-3).at(NUM_STEPS - 1, NUM_STEPS) == pytest.approx(1e-3)
    assert rate("cosine").after(4e-3) == rate("cosine")


@pytest.mark.parametrize(
    "fields",
    [{"start": None}, {"continues": "init"}, {"shape": "wsd"}, {"decay": {"steps": 3, "shape": "linear"}}],
    ids=["no start", "two starts", "wsd without decay", "decay without wsd"],
)
def test_half_of_a_schedule_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"give either|has a `decay`"):
        rate(**{"shape": "cosine", **fields})


def test_what_is_not_said_is_not_written_so_that_older_fingerprints_stay() -> None:
    assert rate("linear").model_dump(mode="json") == {"shape": "linear", "start": 1e-2, "end": 1e-3, "warmup_steps": 5}
    said = rate("wsd", decay={"steps": 3, "shape": "sqrt"})
    assert said.model_dump(mode="json")["decay"] == {"steps": 3, "shape": "sqrt"}
    assert LearningRate.model_validate_json(said.model_dump_json()) == said

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.planning import schedule as planned
from compiler.planning.schedule import Slot, urgency


def schedule(slots: list[Slot], cores: int, memory_bytes: int = 0) -> dict[str, float]:
    return planned.schedule(slots, urgency(slots), cores, memory_bytes)


def makespan(slots: list[Slot], cores: int, memory_bytes: int = 0) -> float:
    return planned.makespan(slots, schedule(slots, cores, memory_bytes))


def critical_path(slots: list[Slot]) -> tuple[str, ...]:
    return planned.critical_path(slots, urgency(slots))


def test_a_chain_takes_the_sum_whatever_the_cores() -> None:
    chain = [Slot("a", (), 1, 2.0), Slot("b", ("a",), 1, 3.0), Slot("c", ("b",), 1, 5.0)]
    assert makespan(chain, 8) == 10.0
    assert urgency(chain) == {"a": 10.0, "b": 8.0, "c": 5.0}


def test_independent_stages_run_side_by_side() -> None:
    slots = [Slot(name, (), 1, 4.0) for name in "abcd"]
    assert makespan(slots, 2) == 8.0
    assert makespan(slots, 4) == 4.0


def test_the_longest_chain_starts_first() -> None:
    # Started in written order, the short stages would delay the chain and the whole would take 7.
    slots = [Slot("s1", (), 1, 1.0), Slot("s2", (), 1, 1.0), Slot("long", (), 1, 3.0), Slot("end", ("long",), 1, 3.0)]
    assert makespan(slots, 2) == 6.0


def test_a_stage_wider_than_the_machine_takes_it_all() -> None:
    assert makespan([Slot("wide", (), 8, 2.0), Slot("other", (), 1, 1.0)], 2) == 3.0


@st.composite
def _programs(draw: st.DrawFn) -> list[Slot]:
    size = draw(st.integers(1, 12))
    slots: list[Slot] = []
    for number in range(size):
        needs = draw(st.lists(st.sampled_from([slot.label for slot in slots]), unique=True)) if slots else []
        seconds = draw(st.integers(1, 20))
        slots.append(Slot(f"s{number}", tuple(needs), draw(st.integers(1, 2)), float(seconds)))
    return slots


@given(_programs(), st.integers(1, 4))
def test_the_makespan_is_between_its_bounds(slots: list[Slot], cores: int) -> None:
    work = sum(slot.seconds * min(slot.cores, cores) for slot in slots)
    longest_chain = max(urgency(slots).values())
    total = makespan(slots, cores)
    assert total >= longest_chain - 1e-9
    assert total >= work / cores - 1e-9
    assert total <= sum(slot.seconds for slot in slots) + 1e-9


@pytest.mark.parametrize("cores", [1, 2])
def test_needs_outside_the_slots_count_as_done(cores: int) -> None:
    assert makespan([Slot("a", ("sealed already",), 1, 2.0)], cores) == 2.0


@given(_programs(), st.integers(1, 4))
def test_a_stage_starts_when_what_it_needs_is_done_and_there_are_cores(slots: list[Slot], cores: int) -> None:
    starts = schedule(slots, cores)
    ends = {slot.label: starts[slot.label] + slot.seconds for slot in slots}
    assert all(starts[slot.label] >= ends[need] for slot in slots for need in slot.needs)
    for moment in starts.values():
        assert sum(min(one.cores, cores) for one in slots if starts[one.label] <= moment < ends[one.label]) <= cores


@given(_programs())
def test_the_critical_path_is_a_chain_that_takes_as_long_as_the_most_urgent_stage(slots: list[Slot]) -> None:
    by_label = {slot.label: slot for slot in slots}
    chain = critical_path(slots)
    assert all(before in by_label[after].needs for before, after in pairwise(chain))
    assert sum(by_label[label].seconds for label in chain) == max(urgency(slots).values())


def test_nothing_to_run_has_no_critical_path() -> None:
    assert critical_path([]) == () and makespan([], 2) == 0.0


def test_stages_that_do_not_fit_the_memory_together_run_one_after_the_other() -> None:
    slots = [Slot(name, (), 1, 2.0, memory_bytes=6) for name in ("a", "b")]
    assert makespan(slots, 8, 12) == 2.0
    assert makespan(slots, 8, 11) == 4.0
    assert makespan(slots, 8, 5) == 4.0

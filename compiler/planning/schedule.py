"""Side by side within the cores and the memory there are: the order in which stages start, planned and real alike."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """One stage as a scheduler sees it."""

    label: str
    needs: tuple[str, ...]
    """Labels that must be done first; those that are no slots are done already."""
    cores: int
    seconds: float
    memory_bytes: int = 0
    """What it holds at its peak; 0 where nobody knows."""


def urgency(slots: Sequence[Slot]) -> dict[str, float]:
    """Seconds from a stage's start to the end of the longest chain behind it; the larger, the more urgent.

    `slots` stand in topological order.
    """
    own = {slot.label: slot.seconds for slot in slots}
    total = dict(own)
    for slot in reversed(slots):
        for need in slot.needs:
            if need in total:
                total[need] = max(total[need], own[need] + total[slot.label])
    return total


def critical_path(slots: Sequence[Slot], rank: Mapping[str, float]) -> tuple[str, ...]:
    """The longest chain of stages: however many cores there are, the run takes no less than their seconds.

    `slots` stand in topological order, `rank` is their urgency.
    """
    longest = max(rank.values(), default=0.0)
    chain: list[Slot] = []
    for slot in slots:
        if not chain:
            if rank[slot.label] == longest:
                chain.append(slot)
        elif chain[-1].label in slot.needs and rank[chain[-1].label] == chain[-1].seconds + rank[slot.label]:
            chain.append(slot)
    return tuple(slot.label for slot in chain)


def makespan(slots: Sequence[Slot], starts: Mapping[str, float]) -> float:
    """Seconds until all are done that start so."""
    return max((starts[slot.label] + slot.seconds for slot in slots), default=0.0)


def schedule(slots: Sequence[Slot], rank: Mapping[str, float], cores: int, memory_bytes: int = 0) -> dict[str, float]:
    """Seconds from the run's start to each stage's, the most urgent ready stage first; `rank` is their urgency.

    A stage wider than the machine takes it all. Memory of 0 is no limit.
    """
    by_label = {slot.label: slot for slot in slots}
    waiting = {slot.label: {need for need in slot.needs if need in by_label} for slot in slots}
    children: dict[str, list[str]] = {slot.label: [] for slot in slots}
    for slot in slots:
        for need in waiting[slot.label]:
            children[need].append(slot.label)
    ready = [(-rank[label], label) for label, needs in waiting.items() if not needs]
    heapq.heapify(ready)
    running: list[tuple[float, str]] = []
    starts: dict[str, float] = {}
    free, free_bytes, now = cores, memory_bytes, 0.0
    while ready or running:
        held = []
        while ready:
            item = heapq.heappop(ready)
            width, size = min(by_label[item[1]].cores, cores), min(by_label[item[1]].memory_bytes, memory_bytes)
            if width > free or size > free_bytes:
                held.append(item)
                break
            free -= width
            free_bytes -= size
            starts[item[1]] = now
            heapq.heappush(running, (now + by_label[item[1]].seconds, item[1]))
        for item in held:
            heapq.heappush(ready, item)
        now, done = heapq.heappop(running)
        free += min(by_label[done].cores, cores)
        free_bytes += min(by_label[done].memory_bytes, memory_bytes)
        for child in children[done]:
            waiting[child].discard(done)
            if not waiting[child]:
                heapq.heappush(ready, (-rank[child], child))
    return starts

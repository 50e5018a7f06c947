"""The layouts of a stage that fit a cluster, fastest first."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from compiler.planning.generation import Answering, answering_memory, answering_time
from compiler.planning.memory import Memory, training_memory
from compiler.planning.throughput import Run, StepTime, step_time
from compiler.schema.model import Layout

_RECOMPUTE = ("none", "selective", "full")
_MOST_MICRO_BATCH = 8
_MOST_ROWS = 1024


class Found(NamedTuple):
    """A layout with what it takes."""

    run: Run
    time: StepTime
    memory: Memory


class FoundAnswering(NamedTuple):
    """A layout in which models are asked, with what it takes."""

    layout: Layout
    rows: int
    """Answered or scored together."""
    seconds: float
    """Of all requests."""
    memory: Memory
    """Of the model that takes most."""


def search_answering(
    asked: Sequence[Answering], *, gpus: int, gpus_per_node: int, memory_bytes: float, most: int = 10
) -> Sequence[FoundAnswering]:
    """All layouts of exactly so many GPUs, and rows at once, in which every one of these fits; the fastest `most`."""
    found: list[FoundAnswering] = []
    for layout in _answering_layouts(asked, gpus, gpus_per_node):
        rows = _MOST_ROWS
        while rows >= 1:
            tried = [replace(one, layout=layout, rows=rows) for one in asked]
            memory = max((answering_memory(one) for one in tried), key=lambda memory: memory.total)
            if memory.total <= memory_bytes:
                found.append(FoundAnswering(layout, rows, sum(answering_time(one).seconds for one in tried), memory))
                break
            rows //= 2
    return sorted(found, key=lambda one: one.seconds)[:most]


def _answering_layouts(asked: Sequence[Answering], gpus: int, gpus_per_node: int) -> Iterator[Layout]:
    for tp in _divisors(gpus_per_node):
        models = [one.model for one in asked]
        divided = all(
            model.num_attention_heads % tp == model.num_query_groups % tp == model.vocab_size % tp == 0
            and model.num_layers % max(1, gpus // tp) == 0
            for model in models
        )
        if divided and gpus % tp == 0:
            yield Layout(tp=tp, pp=gpus // tp)


def search(run: Run, *, gpus: int, gpus_per_node: int, memory_bytes: float, most: int = 10) -> Sequence[Found]:
    """All layouts of exactly so many GPUs in which the step of this run is possible and fits, the fastest `most`.

    Tensor parallelism stays inside a node. What is cheap to ask comes first: a layout that does not divide is never
    timed, and recomputation is only tried where less of it does not fit.
    """
    found: list[Found] = []
    for layout in _layouts(run, gpus, gpus_per_node):
        share = run.global_batch_size // layout.dp
        size = 1
        while size <= min(share, _MOST_MICRO_BATCH):
            if share % size == 0 and (layout.vpp == 1 or share // size % layout.pp == 0):
                fitting = _fitting(
                    replace(run, layout=layout, micro_batch_size=size, sequence_parallel=layout.tp > 1), memory_bytes
                )
                if fitting is not None:
                    found.append(fitting)
            size *= 2
    return sorted(found, key=lambda one: one.time.seconds)[:most]


def _fitting(run: Run, memory_bytes: float) -> Found | None:
    for recompute in _RECOMPUTE:
        candidate = replace(run, recompute=recompute)
        memory = training_memory(candidate)
        if memory.total <= memory_bytes:
            return Found(candidate, step_time(candidate), memory)
    return None


def _layouts(run: Run, gpus: int, gpus_per_node: int) -> Iterator[Layout]:
    model = run.model
    for tp in _divisors(gpus_per_node):
        if model.num_attention_heads % tp or model.num_query_groups % tp or model.vocab_size % tp:
            continue
        for pp in _divisors(model.num_layers):
            for cp in (1, 2, 4, 8, 16):
                if gpus % (tp * pp * cp) or run.seq_length % (2 * cp):
                    continue
                dp = gpus // (tp * pp * cp)
                if run.global_batch_size % dp:
                    continue
                for vpp in _divisors(model.num_layers // pp) if pp > 1 else [1]:
                    yield Layout(tp=tp, pp=pp, vpp=vpp, cp=cp, dp=dp)


def _divisors(number: int) -> list[int]:
    return [one for one in range(1, number + 1) if number % one == 0]

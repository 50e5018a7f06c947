"""Shapes and layouts that divide: heads, layers, batches, vocabulary, over the ranks that share them."""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from compiler.checks.lineage import Lineage
from compiler.checks.model_use import model_label
from compiler.checks.view import View, field_place
from compiler.elaborate import ProgramStage
from compiler.manifest import Placement
from compiler.reading.tree import Place
from compiler.schema.model import ModelSpec, Precision
from compiler.stages import Stage
from compiler.stages.adopt import Adopt
from compiler.stages.prefer import Prefer
from compiler.stages.pretrain import Pretrain
from compiler.stages.reward_model import RewardModel
from compiler.stages.sft import Sft


def check_arithmetic(view: View, lineages: Mapping[str, Lineage]) -> None:
    """Every model has a possible shape, and every layout divides what it is laid over."""
    for at in view.stages.values():
        stage = at.stage
        if isinstance(stage, Pretrain | Adopt) and stage.model is not None:
            _check_shape(view, at, stage.model)
        if at.placement != _PLAIN:
            lineage = lineages.get(model_label(at.label, stage))
            if lineage is not None:
                _check_layout(view, at, lineage.model)
            _check_batches(view, at)
            _check_use(view, at)


_PLAIN = Placement()


def _check_shape(view: View, at: ProgramStage, model: ModelSpec) -> None:
    heads, groups = model.num_attention_heads, model.num_query_groups
    if heads % groups:
        message = f"is {heads}, which {groups} query groups do not divide"
        view.blame(at, "model.num_attention_heads", message, "indivisible", related=_used(at))
    if model.kv_channels is None and model.hidden_size % heads:
        message = f"is {model.hidden_size}, which {heads} heads do not divide"
        hint = "or give the width of a head as `kv_channels`"
        view.blame(at, "model.hidden_size", message, "indivisible", hint=hint, related=_used(at))


def _used(at: ProgramStage) -> tuple[tuple[Place, str], ...]:
    entry = at.tree.entries["model"]
    return ((entry.value.used, "used here"),) if entry.value.used else ()


class _Division(NamedTuple):
    what: str
    number: int
    field: str
    """Of the layout: what is to blame."""
    by: str
    parts: int


def _check_layout(view: View, at: ProgramStage, model: ModelSpec) -> None:
    for division in _divisions(at, model):
        if division.number % division.parts:
            what = f"the model's {division.what}, {division.number}"
            message = f"{division.by} is {division.parts}, which does not divide {what}"
            _blame(view, at, f"layout.{division.field}", message)
    layout = at.placement.layout
    if layout.vpp > 1 and layout.pp == 1:
        _blame(view, at, "layout.vpp", "virtual pipeline stages need pp of at least 2")
    if at.placement.sequence_parallel and layout.tp == 1:
        _blame(view, at, "sequence_parallel", "needs tp of at least 2")
    precision: Precision | None = getattr(at.stage, "precision", None)
    fp8 = precision.fp8 if precision else None
    if fp8 and fp8.param_gather and not at.placement.distributed_optimizer:
        message = "FP8 parameters are gathered by a distributed optimizer"
        hint = "placement: {distributed_optimizer: true}, or `param_gather: false`"
        view.blame(at, "precision", message, "wrong-value", hint=hint)
    if fp8 and fp8.bf16_first_layers + fp8.bf16_last_layers >= model.num_layers:
        view.blame(at, "precision", f"none of the model's {model.num_layers} layers is left in FP8", "wrong-value")


def _divisions(at: ProgramStage, model: ModelSpec) -> Iterator[_Division]:
    layout = at.placement.layout
    yield _Division("num_attention_heads", model.num_attention_heads, "tp", "tp", layout.tp)
    yield _Division("num_query_groups", model.num_query_groups, "tp", "tp", layout.tp)
    yield _Division("vocab_size", model.vocab_size, "tp", "tp", layout.tp)
    yield _Division("ffn_hidden_size", model.ffn_hidden_size, "tp", "tp", layout.tp)
    if layout.cp > 1:
        yield _Division("seq_length", model.seq_length, "cp", "2 * cp", 2 * layout.cp)
    if at.placement.sequence_parallel:
        yield _Division("seq_length", model.seq_length, "tp", "tp", layout.tp)
    yield _Division("num_layers", model.num_layers, "pp", "pp * vpp", layout.pp * layout.vpp)


def _check_batches(view: View, at: ProgramStage) -> None:
    """Each rank of data parallelism gets the same number of whole micro-batches, at every step of a ramp."""
    layout, micro = at.placement.layout, at.placement.micro_batch_size
    _check_ramp(view, at)
    for field, batch in _batches(at.stage):
        related = ((field_place(at, field), "the batch"),)
        dp = at.placement.dp_at(batch)
        if batch % dp:
            message = f"dp is {dp}, which does not divide the global batch size, {batch}"
            ramped = str(batch) in at.placement.dp_at_batch
            sizes = [batch] if ramped else [size for _, size in _batches(at.stage)]
            hint = f"the most that would, and not above {dp}: {_largest_divisor(math.gcd(*sizes), dp)}"
            _blame(view, at, f"dp_at_batch.{batch}" if ramped else "layout.dp", message, related, hint)
        elif micro and batch % (micro * dp):
            message = f"micro_batch_size * dp is {micro * dp}, which does not divide the global batch size, {batch}"
            _blame(view, at, "micro_batch_size", message, related)
        elif layout.vpp > 1 and batch // ((micro or batch // dp) * dp) % layout.pp:
            count = batch // ((micro or batch // dp) * dp)
            message = f"interleaving needs micro-batches in multiples of pp, {layout.pp}; this batch gives {count}"
            _blame(view, at, "layout.vpp", message, related)


def _check_use(view: View, at: ProgramStage) -> None:
    """A layout is for stages with a model, and data parallelism for those that train it."""
    layout = at.placement.layout
    if layout.world_size == 1:
        return
    kind = at.kind
    if not model_label(at.label, at.stage):
        message = f"a stage of kind {kind} runs no model, so it has no layout"
        view.blame(at, "placement.layout", message, "wrong-value", hint="divide its rows with `shards`")
    elif layout.dp > 1 and not isinstance(at.stage, Pretrain | Sft | Prefer | RewardModel):
        message = f"is {layout.dp}, but a stage of kind {kind} trains nothing: each rank would do the same work"
        view.blame(at, "placement.layout.dp", message, "wrong-value", hint="divide its rows with `shards`")
    elif layout.cp > 1 and not isinstance(at.stage, Pretrain | Sft | Prefer | RewardModel):
        message = f"is {layout.cp}, but only training divides its sequences, and a stage of kind {kind} trains nothing"
        view.blame(at, "placement.layout.cp", message, "wrong-value", hint="divide its rows with `shards`")


def _check_ramp(view: View, at: ProgramStage) -> None:
    """`dp_at_batch` names batch sizes that the stage has."""
    sizes = [str(batch) for _, batch in _batches(at.stage)]
    for size in at.placement.dp_at_batch:
        if size not in sizes:
            message = f"no step has the global batch size {size}"
            hint = (
                f"batch sizes of this stage: {', '.join(dict.fromkeys(sizes))}"
                if sizes
                else "only training has batches"
            )
            view.blame_key(at, f"placement.dp_at_batch.{size}", message, "unknown-name", hint=hint)


def _batches(stage: Stage) -> Iterator[tuple[str, int]]:
    if isinstance(stage, Sft | Prefer | RewardModel):
        yield "global_batch_size", stage.global_batch_size
    elif isinstance(stage, Pretrain):
        for number, phase in enumerate(stage.phases):
            for index, ramp in enumerate(phase.batch_ramp):
                yield f"phases.{number}.batch_ramp.{index}.global_batch_size", ramp.global_batch_size


def _largest_divisor(number: int, limit: int) -> int:
    return next(divisor for divisor in range(min(number, limit), 0, -1) if number % divisor == 0)


def _blame(
    view: View,
    at: ProgramStage,
    field: str,
    message: str,
    related: tuple[tuple[Place, str], ...] = (),
    hint: str = "",
) -> None:
    view.blame(at, f"placement.{field}", message, "indivisible", hint=hint, related=related)

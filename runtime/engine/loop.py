"""The training loop: a pure function of the step gives the batches, so that a run that was killed resumes exactly."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.distributed import finalize_model_grads
from megatron.core.pipeline_parallel import get_forward_backward_func
from torch import Tensor, nn

from compiler.schema.training import Optimizer, Trouble
from runtime.engine import emulated
from runtime.engine.batch import Batch, lengthened
from runtime.engine.checkpoint import load_training
from runtime.engine.keeping import Checkpointing, Checkpoints
from runtime.engine.logprobs import forward, padded_length, pick
from runtime.engine.model import Model
from runtime.engine.objective import LossOutput, Objective
from runtime.engine.optimizer import Trainable, gradient_norm, put_down, set_learning_rate, settle, trainable, update
from runtime.engine.trouble import TrainingDivergedError, Watch


@dataclass(frozen=True)
class StepRecord:
    """What one optimizer step did. Means are over the global batch, weighted as the objective says."""

    step: int
    """0-based"""
    loss: float
    learning_rate: float
    grad_norm: float
    """Before clipping."""
    tokens: int
    """Inputs of the global batch, padding included."""
    flops: float
    """Model FLOPs of the global batch, counted as plans count them."""
    seconds: float
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class HeldOut:
    """Rows that are looked at now and then and not learnt."""

    every: int
    """steps; after the last one too"""
    micro_batches: Callable[[], Sequence[Batch]]
    """This data-parallel rank's share; every rank has the same number."""


@dataclass(frozen=True)
class Care:
    """What to do when a step goes wrong, and what is known of the steps before a resume."""

    policy: Trouble | None = None
    """None stops at what is not a number."""
    history: Callable[[int], Sequence[tuple[float, bool]]] = lambda step: ()
    """(loss, whether the step was lost) of each step before this one"""


class Trained(NamedTuple):
    """The steps that one call of `train` made."""

    first: int
    """0, or where it resumed"""
    end: int
    """Steps that are done now: all that were asked for, unless other ranks are to make the next one."""


LOST, HELD_OUT = "lost", "held_out_"
"""Metrics: 1 where a step's update was not made, where that may happen; and what begins those of rows held out."""


def train(
    model: Model,
    optimizer: Optimizer,
    *,
    num_steps: int,
    learning_rate: Callable[[int], float],
    micro_batches: Callable[[int], Sequence[Batch]],
    objective: Objective,
    checkpointing: Checkpointing | None = None,
    care: Care = Care(),
    held_out: HeldOut | None = None,
    ranks: Callable[[int], int] | None = None,
    on_step: Callable[[StepRecord], None] = lambda record: None,
) -> Trained:
    """Trains in place up to `num_steps` optimizer steps.

    `micro_batches(step)` are this data-parallel rank's; it must depend on the step only, and give every rank the same
    number. Killed at any moment and called again with the same arguments and a model built with the same seed, it
    resumes from the last complete checkpoint and ends with the same bits. `ranks(step)` is the number of ranks that
    must make a step: before the first that others must make a checkpoint is left for them, and training ends there.
    `on_step` is called on every rank, and again for steps that are done again, or lost. The seconds of a step leave
    out what is held out.

    Raises ValueError where this job has not the ranks for the step that it would begin with.
    """
    state = trainable(model, optimizer)
    for chunk in state.chunks:
        chunk.train()
    checkpoints = Checkpoints(checkpointing)
    newest = checkpoints.newest()
    begin = 0 if newest is None else load_training(state, newest)
    _refuse_other_ranks(begin, ranks)
    step_function = _StepFunction(state, objective)
    watch = Watch(care.policy, care.history(begin))
    since_kept: list[StepRecord] = []
    end = begin
    for step in range(begin, num_steps):
        if ranks is not None and ranks(step) != dist.get_world_size():
            checkpoints.leave(state, num_done=step)
            break
        began = time.perf_counter()
        record = step_function(step, micro_batches(step), learning_rate(step))
        verdict = watch.judge(step, record.loss, record.grad_norm)
        if care.policy is not None:
            record = _with_metrics(record, {LOST: float(verdict != "update")})
        if verdict == "update":
            step_function.update(record)
        elif verdict == "rewind":
            _rewind(state, checkpoints, step)
            for lost in since_kept:
                on_step(_with_metrics(lost, {LOST: 1.0}))
        record = replace(record, seconds=time.perf_counter() - began)
        if held_out is not None and ((step + 1) % held_out.every == 0 or step + 1 == num_steps):
            record = _with_metrics(record, step_function.look(held_out.micro_batches()))
        on_step(record)
        since_kept = [*since_kept, record] if _may_rewind(care.policy) else []
        if checkpoints.after(state, num_done=step + 1):
            since_kept = []
        end = step + 1
    checkpoints.settle()
    _release(state)
    return Trained(begin, end)


def _refuse_other_ranks(step: int, ranks: Callable[[int], int] | None) -> None:
    if ranks is not None and ranks(step) != dist.get_world_size():
        raise ValueError(
            f"step {step} is for a number of ranks of {ranks(step)}, and this job has {dist.get_world_size()}: "
            "see `dp_at_batch` of the stage's placement"
        )


def _may_rewind(policy: Trouble | None) -> bool:
    return policy is not None and "rewind" in (policy.not_a_number, policy.spike and policy.spike.then)


def _rewind(state: Trainable, checkpoints: Checkpoints, step: int) -> None:
    newest = checkpoints.newest()
    if newest is None:
        raise TrainingDivergedError(f"step {step} went wrong, and there is no checkpoint yet to go back to")
    load_training(state, newest)


def _with_metrics(record: StepRecord, more: Mapping[str, float]) -> StepRecord:
    return replace(record, metrics={**record.metrics, **more})


@dataclass
class _Sums:
    """Of the micro-batches of one step on this rank; filled on the last pipeline stage."""

    outputs: list[LossOutput] = field(default_factory=list)
    num_tokens: int = 0
    flops: float = 0.0


class _StepFunction:
    """One optimizer step: measured first, then made. Holds what does not change between steps."""

    def __init__(self, state: Trainable, objective: Objective) -> None:
        self.state = state
        self.objective = objective
        self.forward_backward = get_forward_backward_func()
        self.sums = _Sums()
        self.means: dict[str, float] = {}
        self.num_tokens = 0
        self.flops = 0.0
        config = state.model.config
        config.finalize_model_grads_func = self._finalize
        config.grad_scale_func = None
        if state.chunks[0].ddp_config.overlap_grad_reduce:  # type: ignore[union-attr]
            hooks = [chunk.no_sync for chunk in state.chunks]
            config.no_sync_func = hooks[0] if len(hooks) == 1 else hooks

    def __call__(self, step: int, batches: Sequence[Batch], learning_rate: float) -> StepRecord:
        if not batches:
            raise ValueError(f"step {step} has no micro-batches")
        for chunk in self.state.chunks:
            chunk.zero_grad_buffer()  # type: ignore[operator]
        self.state.optimizer.zero_grad()
        self._pass(batches, forward_only=False)
        grad_norm = gradient_norm(self.state.optimizer)
        metrics = {name: value for name, value in self.means.items() if name != "loss"}
        return StepRecord(
            step=step,
            loss=self.means["loss"],
            learning_rate=learning_rate,
            grad_norm=grad_norm,
            tokens=self.num_tokens,
            flops=self.flops,
            seconds=0.0,
            metrics=metrics,
        )

    def update(self, record: StepRecord) -> None:
        """Moves the weights along the gradients of the step that was measured last."""
        set_learning_rate(self.state.optimizer, record.learning_rate)
        update(self.state.optimizer, record.grad_norm)

    def look(self, batches: Sequence[Batch]) -> dict[str, float]:
        """The objective's means over rows that are held out, under their own names; nothing is learnt."""
        with torch.no_grad():
            self._pass(batches, forward_only=True)
        *_, means = _global_means(self.sums)
        return {f"{HELD_OUT}{name}": value for name, value in means.items()}

    def _pass(self, batches: Sequence[Batch], *, forward_only: bool) -> None:
        self.sums = _Sums(
            num_tokens=sum(batch.tokens_BL.numel() for batch in batches),
            flops=sum(_flops(self.state.model, batch) for batch in batches),
        )
        if self.state.model.layout.vpp > 1:
            longest = max(batch.tokens_BL.shape[1] for batch in batches)
            batches = [lengthened(batch, longest) for batch in batches]
        iterators: list[Iterator[Batch]] = [iter(batches) for _ in self.state.chunks]
        rows, length = batches[0].tokens_BL.shape
        self.forward_backward(
            forward_step_func=self._forward,
            data_iterator=iterators if len(iterators) > 1 else iterators[0],
            model=list(self.state.chunks),
            num_microbatches=len(batches),
            seq_length=padded_length(self.state.model, length),
            micro_batch_size=rows,
            forward_only=forward_only,
        )

    def _forward(self, batches: Iterator[Batch], chunk: nn.Module) -> tuple[Tensor, Callable[[Tensor], Any]]:
        batch = next(batches)
        return forward(self.state.model, chunk, batch), partial(self._loss, batch)

    def _loss(self, batch: Batch, outputs: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """What Megatron's schedule wants of the last stage. Its count of tokens stays 0: `_finalize` does the division,
        with a weight that need not be whole, in one all-reduce together with all that is reported."""
        result = self.objective(pick(self.state.model, outputs, batch), batch)
        self.sums.outputs.append(result)
        return result.loss_sum, torch.zeros((), dtype=torch.int), {}

    def _finalize(self, chunks: list[nn.Module], num_tokens: Tensor | None, **kwargs: Any) -> None:
        finalize_model_grads(chunks, None, **kwargs)
        weight, self.num_tokens, self.flops, self.means = _global_means(self.sums)
        for chunk in chunks:
            chunk.scale_gradients(1.0 / weight)  # type: ignore[operator]
        emulated.move_on(self.state.model.chunks)


def _flops(model: Model, batch: Batch) -> float:
    """Model FLOPs of a micro-batch; where its row holds many sequences, each attends to itself alone."""
    rows, length = batch.tokens_BL.shape
    if batch.packing is None:
        return model.spec.training_flops(rows * length, length)
    attended = sum(own * own * count for own, count in batch.packing.groups) / (rows * length)
    return model.spec.training_flops(rows * length, attended)


def _global_means(mine: _Sums) -> tuple[float, int, float, dict[str, float]]:
    """(weight, tokens, model FLOPs, {"loss": mean, name: mean}) over micro-batches and data-parallel ranks, told to all
    stages.

    Ranks may have different numbers of tokens, where rows are packed.
    """
    means: list[Any] = [None]
    weight = 0.0
    outputs = mine.outputs
    if parallel_state.is_pipeline_last_stage(ignore_virtual=True):
        names = ["loss", *outputs[0].metrics]
        rows = [
            [
                float(output.weight),
                float(output.loss_sum.detach()),
                *(float(output.metrics[name]) for name in names[1:]),
            ]
            for output in outputs
        ]
        sums = torch.tensor(rows, dtype=torch.float64).sum(dim=0)
        counts = sums.new_tensor([mine.num_tokens, mine.flops])
        sums = torch.cat([counts, sums])
        # Context-parallel ranks all have the whole rows' sums.
        group = parallel_state.get_data_parallel_group()
        if group.size() > 1:
            sums = sums.to(torch.cuda.current_device())
            dist.all_reduce(sums, group=group)
        num_tokens, flops, weight, *totals = sums.tolist()
        if weight <= 0:
            raise ValueError(f"the global batch has the weight {weight}: no token, row or pair in it counts")
        found = {name: total / weight for name, total in zip(names, totals, strict=True)}
        means = [(weight, round(num_tokens), flops, found)]
    if parallel_state.get_pipeline_model_parallel_world_size() > 1:
        group = parallel_state.get_pipeline_model_parallel_group()
        dist.broadcast_object_list(means, src=parallel_state.get_pipeline_model_parallel_last_rank(), group=group)
    result: tuple[float, int, float, dict[str, float]] = means[0]
    return result


def _release(state: Trainable) -> None:
    """Leaves the model as it was before wrapping: no gradients, no hooks that keep the gradient buffer alive."""
    settle(state)
    put_down(state)
    config = state.model.config
    config.finalize_model_grads_func = None
    config.no_sync_func = None
    for chunk in state.chunks:
        # Hooks and wrapper hold each other through autograd nodes, where Python's collector cannot see the circle.
        chunk.grad_accs.clear()  # type: ignore[union-attr,operator]
        if chunk.use_forward_hook:
            chunk.disable_forward_pre_hook(param_sync=False)  # type: ignore[operator]
        for parameter in chunk.parameters():
            parameter.grad = None
            del parameter.main_grad  # type: ignore[attr-defined]

"""Pass 5, (StageGraph, Cluster, Inventory) -> Plan: every stage with its identity, cost, action and reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from math import ceil
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from compiler.artifacts import ArtifactRecord
from compiler.checks.model_use import model_label
from compiler.graph import StageGraph
from compiler.legs import Leg, legs_of
from compiler.manifest import Placement
from compiler.planning.contents import Contents
from compiler.planning.cost import Cost, corrections, cost_of, memory_of, phases_of, served_price
from compiler.planning.differences import Difference, differences
from compiler.planning.fingerprint import fingerprint, identity
from compiler.planning.inventory import Inventory
from compiler.planning.memory import Memory
from compiler.planning.parameters import FLOPS_FORMULA, Parameters, count_parameters
from compiler.planning.resident import resident_bytes
from compiler.planning.reuse import why_pinned, why_reused, why_run
from compiler.planning.schedule import Slot, critical_path, makespan, schedule, urgency
from compiler.planning.workload import PhaseWork, Work, work_of
from compiler.schema.base import minutes
from compiler.schema.budget import Budget
from compiler.schema.cluster import Cluster
from compiler.schema.model import ModelSpec
from compiler.stages import Stage
from compiler.stages.endpoint import Endpoint

Action = Literal["run", "reuse", "skip"]


@dataclass(frozen=True)
class PlannedStage:
    """One stage: what it is, whether it runs, and what it should take."""

    label: str
    stage: Stage
    kind: str
    identity: Mapping[str, Any]
    fingerprint: str
    action: Action
    reason: str
    needs: tuple[str, ...]
    same_as: str
    """The first stage with this fingerprint; the label itself, unless the stage is computed under another name."""
    placement: Placement
    legs: tuple[Leg, ...]
    """Steps in a row that the same ranks make: more than one where the ranks change with the batch."""
    work: Work
    model: ModelSpec | None
    """That the stage trains or runs; None of a served one."""
    parameters: Parameters | None
    cost: Cost
    memory: Memory | None
    """On one GPU; None where no model of ours runs on GPUs that the planner knows."""
    files: tuple[str, ...]
    """Of what is adopted: where it lies."""
    pinned: bool
    """Whether a user keeps this artifact, whatever the recipe says."""
    drift: tuple[Difference, ...]
    """Of a pinned stage: where the recipe says something else by now."""
    resident_bytes: int
    """What its processes hold at their peak where it runs on this machine; 0 elsewhere."""
    endpoints: Mapping[str, str]
    """Label -> model of the endpoints that it asks."""

    @property
    def wall_s(self) -> float:
        """Planned wall seconds."""
        return round(self.cost.wall_s, 2)

    @property
    def last_phase(self) -> PhaseWork:
        """The stretch of the last batch size, which is the largest."""
        return phases_of(self.work)[-1]

    @property
    def gpu_hours(self) -> float:
        """GPUs held, times hours."""
        return self.cost.gpu_s / 3600

    @property
    def core_hours(self) -> float:
        """Cores kept busy, times hours; none of a stage that holds GPUs."""
        return 0.0 if self.cost.gpus else self.wall_s * self.cores / 3600

    @property
    def cores(self) -> int:
        """CPU cores that the stage keeps busy, at its most."""
        return max(leg.ranks for leg in self.legs) * self.placement.threads


class Allowance(NamedTuple):
    """Of one thing that the recipe's budget limits."""

    takes: float
    most: float


@dataclass(frozen=True)
class Plan:
    """Every stage in topological order, and the sums."""

    name: str
    cluster: Cluster
    cores: int
    memory_bytes: int
    """Of the machine; 0 where nobody has said."""
    stages: tuple[PlannedStage, ...]
    wall_s: float
    """Of the whole run, stages side by side within the cores and the memory."""
    urgency: Mapping[str, float]
    """Of each stage that runs: seconds from its start to the end of the longest chain behind it."""
    starts: Mapping[str, float]
    """Of each stage that runs: seconds from the run's start to its own."""
    critical: tuple[str, ...]
    """The longest chain of stages that run, first to last: more cores or GPUs would not shorten it."""
    budget: Budget | None = None

    @property
    def gpu_hours(self) -> float:
        """Of what runs."""
        return sum(stage.gpu_hours for stage in self.to_run)

    @property
    def core_hours(self) -> float:
        """Of what runs on cores."""
        return sum(stage.core_hours for stage in self.to_run)

    @property
    def price(self) -> float:
        """Of what runs, in the cluster file's currency."""
        return sum(price(stage, self.cluster) for stage in self.to_run)

    @property
    def allowances(self) -> Mapping[str, Allowance]:
        """Field of the recipe's budget -> what the plan takes of it and the most that it may take."""
        takes = {"gpu_hours": self.gpu_hours, "cost": self.price, "wall_hours": self.wall_s / 3600}
        most = self.budget.model_dump(exclude_none=True) if self.budget else {}
        return {field: Allowance(takes[field], most[field]) for field in takes if field in most}

    @property
    def to_run(self) -> tuple[PlannedStage, ...]:
        """The stages that will run."""
        return tuple(stage for stage in self.stages if stage.action == "run")

    @property
    def unlisted(self) -> tuple[str, ...]:
        """Served models that are asked and that the cluster file does not list: their time and price are unknown."""
        return tuple(dict.fromkeys(name for stage in self.to_run for name in stage.cost.unlisted))


def make_plan(
    graph: StageGraph,
    cluster: Cluster,
    inventory: Inventory,
    *,
    cores: int,
    memory_bytes: int = 0,
    now: datetime,
    contents: Mapping[str, Contents] = MappingProxyType({}),
    pins: Mapping[str, ArtifactRecord] = MappingProxyType({}),
) -> Plan:
    """Plans the whole graph; pure: the same arguments give the same plan.

    `cores`, `memory_bytes`: of the machine at hand, where the cluster file does not say; memory of 0 is no limit.
    `contents`: label -> adopted files and what they say. `pins`: label -> the sealed artifact to use.
    """
    cores = cluster.cores or cores
    memory_bytes = cluster.memory_bytes or memory_bytes
    stages = _identified(graph, contents, pins)
    actions = _actions(stages, graph, inventory)
    names = {stage.fingerprint: stage.label for stage in reversed(stages)}
    fixes = corrections(inventory, cluster.name)
    works: dict[str, Work] = {}
    planned = []
    for stage in stages:
        works[stage.label] = work = work_of(stage.label, stage.stage, works, graph)
        planned.append(_planned(stage, actions[stage.label], work, graph, cluster, inventory, names, fixes, now))
    first = {stage.label: stage.same_as for stage in planned}
    # What is scarce: GPUs where the cluster has them, else cores.
    width = cluster.num_gpus or cores
    slots = [
        Slot(
            stage.label,
            tuple(first[need] for need in stage.needs),
            stage.cost.gpus if cluster.num_gpus else stage.cores,
            stage.wall_s,
            stage.resident_bytes,
        )
        for stage in planned
        if stage.action == "run"
    ]
    rank = urgency(slots)
    starts = schedule(slots, rank, width, memory_bytes)
    return Plan(
        graph.name,
        cluster,
        cores,
        memory_bytes,
        tuple(planned),
        makespan(slots, starts),
        rank,
        starts,
        critical_path(slots, rank),
        graph.budget.budget if graph.budget else None,
    )


@dataclass(frozen=True)
class _Identified:
    label: str
    stage: Stage
    identity: Mapping[str, Any]
    fingerprint: str
    files: tuple[str, ...] = ()
    pinned: bool = False
    drift: tuple[Difference, ...] = ()


def _identified(
    graph: StageGraph, contents: Mapping[str, Contents], pins: Mapping[str, ArtifactRecord]
) -> Sequence[_Identified]:
    prints: dict[str, str] = {}
    found = []
    for label in graph.order():
        stage = graph.stage(label).stage
        adopted = contents.get(label, Contents(()))
        what = identity(stage, lambda ref: prints[ref], adopted.digest)
        pin = pins.get(label)
        if pin is None:
            one = _Identified(label, stage, what, fingerprint(what), adopted.files)
        else:
            drift = tuple(differences(pin.stage, what))
            one = _Identified(label, stage, pin.stage, pin.fingerprint, pinned=True, drift=drift)
        prints[label] = one.fingerprint
        found.append(one)
    return found


def _actions(stages: Sequence[_Identified], graph: StageGraph, inventory: Inventory) -> Mapping[str, Action]:
    """Leaves must be sealed in the end; what is not sealed runs, and so does every unsealed input of what runs."""
    actions: dict[str, Action] = {}
    wanted = {stage.label for stage in stages if not graph.downstream(stage.label)}
    for stage in reversed(stages):
        if stage.fingerprint in inventory.records:
            actions[stage.label] = "reuse"
        elif stage.label in wanted:
            actions[stage.label] = "run"
            wanted.update(graph.inputs(stage.label))
        else:
            actions[stage.label] = "skip"
    return actions


def _planned(
    stage: _Identified,
    action: Action,
    work: Work,
    graph: StageGraph,
    cluster: Cluster,
    inventory: Inventory,
    names: Mapping[str, str],
    fixes: dict[str, tuple[float, int]],
    now: datetime,
) -> PlannedStage:
    kind = str(stage.identity["kind"])
    placement = graph.stage(stage.label).placement
    policy = model_label(stage.label, stage.stage)
    model = graph.policy_model(policy) if policy else None
    model = model or next((ask.model for ask in work.asks if ask.model is not None), None)
    cost = cost_of(stage.stage, work, placement, cluster, fixes, model)
    if stage.pinned:
        reason = why_pinned(inventory.records[stage.fingerprint], stage.drift, names, now)
    elif action == "reuse":
        reason = why_reused(inventory.records[stage.fingerprint], now)
    elif action == "skip":
        reason = "everything that needs it is sealed"
    elif names[stage.fingerprint] != stage.label:
        action, reason = "reuse", f"the same as {names[stage.fingerprint]}"
    else:
        reason = why_run(stage.label, kind, stage.identity, inventory, names)
    parameters = count_parameters(model) if model else None
    legs = legs_of(stage.stage, placement)
    resident = 0
    if action == "run" and cluster.executor == "local":
        relatives = inventory.relatives(kind, stage.label)
        widest = placement.with_ranks(max(leg.ranks for leg in legs))
        resident = resident_bytes(widest, relatives, parameters.total if parameters else 0, trains=work.trains)
    return PlannedStage(
        stage.label,
        stage.stage,
        kind,
        stage.identity,
        stage.fingerprint,
        action,
        reason,
        tuple(graph.inputs(stage.label)),
        names[stage.fingerprint],
        placement,
        legs,
        work,
        model,
        parameters,
        cost,
        memory_of(stage.stage, work, placement, cluster, model),
        stage.files,
        stage.pinned,
        stage.drift,
        resident,
        {
            need: asked.model
            for need in graph.inputs(stage.label)
            if isinstance(asked := graph.stage(need).stage, Endpoint)
        },
    )


def limit_min(stage: PlannedStage, cluster: Cluster) -> int:
    """Minutes after which Slurm ends one job of the stage; 0 where the recipe and the cluster file name no limit."""
    partitions = cluster.slurm.partitions
    partition = partitions.get(stage.placement.partition or next(iter(partitions), ""))
    limit = stage.placement.walltime or (partition.max_walltime if partition else None)
    return minutes(limit) if limit and cluster.executor == "slurm" else 0


def segments(stage: PlannedStage, cluster: Cluster) -> int:
    """Times that a job of the stage starts: once for each leg, and again where it is ended at its limit."""
    return sum(_starts(stage, cluster))


def chain(stage: PlannedStage, cluster: Cluster) -> tuple[int, ...]:
    """Jobs that are submitted for each leg of the stage, one after the other: one, unless it is longer than its limit
    and Slurm may queue nothing again."""
    return tuple(
        1 if cluster.slurm.requeue or starts == 1 else starts + cluster.slurm.spare_jobs
        for starts in _starts(stage, cluster)
    )


def _starts(stage: PlannedStage, cluster: Cluster) -> Sequence[int]:
    """Of each leg: its job is ended at its limit, less the warning, and goes on where it was."""
    usable_s = 60 * limit_min(stage, cluster) - cluster.slurm.warning_s
    return [max(1, ceil(leg_s / usable_s)) if usable_s > 0 else 1 for leg_s in _leg_seconds(stage)]


def _leg_seconds(stage: PlannedStage) -> Sequence[float]:
    """The stage's time, shared out among its legs as their steps take it."""
    if len(stage.legs) == 1:
        return [stage.wall_s]
    phases = phases_of(stage.work)
    ranks = [stage.placement.ranks_at(phase.global_batch_size) for phase in phases]
    step_s = stage.cost.step_s or [phase.flops_per_step / count for phase, count in zip(phases, ranks, strict=True)]
    spent = [phase.steps * seconds for phase, seconds in zip(phases, step_s, strict=True)]
    legs = groupby(zip(ranks, spent, strict=True), key=lambda one: one[0])
    return [stage.wall_s * sum(seconds for _, seconds in leg) / sum(spent) for _, leg in legs]


def plan_json(plan: Plan) -> dict[str, Any]:
    """The stable machine interface of `rung plan --json`."""
    critical = frozenset(plan.critical)
    return {
        "name": plan.name,
        "cluster": plan.cluster.name,
        "totals": {
            "gpu_hours": plan.gpu_hours,
            "core_hours": plan.core_hours,
            "wall_hours": plan.wall_s / 3600,
            "critical_path_hours": max((plan.urgency[label] for label in critical), default=0.0) / 3600,
            "cost": plan.price,
            "unlisted_servers": list(plan.unlisted),
            "stages_run": sum(stage.action == "run" for stage in plan.stages),
            "stages_reused": sum(stage.action != "run" for stage in plan.stages),
            "budget": {field: allowance._asdict() for field, allowance in plan.allowances.items()},
        },
        "stages": [
            {
                **_stage_json(stage, plan.cluster),
                "start_s": plan.starts.get(stage.label),
                "critical": stage.label in critical,
            }
            for stage in plan.stages
        ],
    }


def price(stage: PlannedStage, cluster: Cluster) -> float:
    """What the stage costs, in the cluster file's currency: its GPUs, or else its cores, and what servers ask."""
    gpu_hour = cluster.gpu.price_per_hour if cluster.gpu else 0.0
    hours = stage.gpu_hours * gpu_hour + stage.core_hours * cluster.price_per_core_hour
    return hours + served_price(stage.work, cluster)


def _stage_json(stage: PlannedStage, cluster: Cluster) -> dict[str, Any]:
    work = stage.work
    return {
        "name": stage.label,
        "kind": stage.kind,
        "fingerprint": stage.fingerprint,
        "action": stage.action,
        "reason": stage.reason,
        "pinned": stage.pinned,
        "drift": [{"path": path, "pinned": old, "recipe": new} for path, old, new in stage.drift],
        "needs": list(stage.needs),
        "gpus": stage.cost.gpus,
        "nodes": -(-stage.cost.gpus // cluster.gpus_per_node) if stage.cost.gpus and cluster.gpus_per_node else 1,
        "cores": stage.cores,
        "layout": stage.placement.layout.model_dump(),
        "micro_batch": stage.placement.micro_batch_size,
        "global_batch": work.global_batch_size or None,
        "parameters": _parameters_json(stage.parameters),
        "memory_bytes_per_gpu": {"total": stage.memory.total, **stage.memory.parts} if stage.memory else None,
        "rows": work.rows,
        "rows_are_approximate": work.approximate,
        "tokens": work.tokens,
        "served_tokens": work.served_tokens,
        "asks": [
            {
                "model": ask.server or ask.label,
                "served": bool(ask.server),
                "requests": ask.requests,
                "prompt_tokens": ask.prompt_tokens,
                "new_tokens": ask.new_tokens,
            }
            for ask in work.asks
        ],
        "unlisted_servers": list(stage.cost.unlisted),
        "steps": work.steps,
        "flops": work.flops,
        "flops_per_step": work.flops_per_step,
        "flops_formula": FLOPS_FORMULA if work.flops else None,
        "step_time_s": _step_time(stage),
        "mfu": _mfu(stage.last_phase if work.trains else None, stage, cluster, -1),
        "wall_s": stage.wall_s,
        "wall_basis": stage.cost.basis,
        "segments": segments(stage, cluster),
        "gpu_hours": stage.gpu_hours,
        "cost": price(stage, cluster),
        "phases": [
            {
                "name": phase.name,
                "global_batch": phase.global_batch_size,
                "ranks": stage.placement.ranks_at(phase.global_batch_size),
                "steps": phase.steps,
                "tokens": phase.tokens,
                "flops_per_step": phase.flops_per_step,
                "step_time_s": stage.cost.step_s[number] if stage.cost.step_s else None,
                "wall_s": phase.steps * stage.cost.step_s[number] if stage.cost.step_s else None,
                "flops_formula": FLOPS_FORMULA,
                "mfu": _mfu(phase, stage, cluster, number),
            }
            for number, phase in enumerate(work.phases)
        ],
    }


def _step_time(stage: PlannedStage) -> float | None:
    """Of the last stretch, by the model of a step; on cores the stage's time shared out among its steps."""
    if stage.cost.step_s:
        return stage.cost.step_s[-1]
    return stage.wall_s / stage.work.steps if stage.work.steps else None


def _mfu(phase: PhaseWork | None, stage: PlannedStage, cluster: Cluster, number: int) -> float | None:
    """Model FLOPs of a step over what its GPUs could do at their 16-bit peak meanwhile; FP8 is measured by it too."""
    if phase is None or not stage.cost.step_s or cluster.gpu is None:
        return None
    gpus = stage.placement.ranks_at(phase.global_batch_size)
    return phase.flops_per_step / (stage.cost.step_s[number] * gpus * cluster.gpu.peak_flops)


def _parameters_json(parameters: Parameters | None) -> dict[str, int] | None:
    if parameters is None:
        return None
    return {
        "total": parameters.total,
        "embedding": parameters.embedding,
        "non_embedding": parameters.non_embedding,
    }

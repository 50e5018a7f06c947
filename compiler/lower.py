"""Pass 6, Plan -> Bundle: the run directory as text, not yet written."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from compiler.manifest import Manifest, ManifestInput
from compiler.plan import Plan, PlannedStage, chain, limit_min, plan_json, segments
from compiler.planning.inventory import artifact_path
from compiler.runs.layout import JOBS, PLAN, RunJob, RunJobs, journal_path, manifest_name, script_name
from compiler.runs.script import job_scripts
from compiler.stages import AnyStage


@dataclass(frozen=True)
class Bundle:
    """A run directory as text: relative path -> content."""

    name: str
    files: Mapping[str, str]


def lower(plan: Plan, *, store: Path, run: Path, provenance: Mapping[str, Any], extra: Mapping[str, str]) -> Bundle:
    """One manifest for each stage that runs, the job list, and the plan; `extra` files are kept beside them.

    `store` and `run` are where artifacts and this run will live; both become absolute paths in the manifests.
    """
    store, run = store.resolve(), run.resolve()
    stages = {stage.label: stage for stage in plan.stages}
    files = {
        manifest_name(stage.label): _manifest(stage, stages, plan, store, run, provenance).model_dump_json(indent=1)
        for stage in plan.to_run
    }
    if plan.cluster.executor == "slurm":
        files |= {
            script_name(stage.label, leg): script
            for stage in plan.to_run
            for leg, script in enumerate(job_scripts(stage, plan, run))
        }
    files[JOBS] = RunJobs(
        name=plan.name,
        cluster=plan.cluster.name,
        cores=plan.cores,
        memory_bytes=plan.memory_bytes,
        executor=plan.cluster.executor,
        jobs=tuple(_job(stage, stages, store, plan) for stage in plan.stages),
    ).model_dump_json(indent=1)
    files[PLAN] = json.dumps(plan_json(plan), indent=1)
    return Bundle(plan.name, {**files, **extra})


def _job(stage: PlannedStage, stages: Mapping[str, PlannedStage], store: Path, plan: Plan) -> RunJob:
    return RunJob(
        label=stage.label,
        kind=stage.kind,
        action=stage.action,
        reason=stage.reason,
        same_as=stage.same_as,
        needs=tuple(dict.fromkeys(stages[need].same_as for need in stage.needs)),
        artifact=str(artifact_path(store, stage.kind, stage.fingerprint)),
        legs=stage.legs,
        cores=stage.cores,
        urgency=plan.urgency.get(stage.label, 0.0),
        planned_s=stage.wall_s,
        limit_min=limit_min(stage, plan.cluster),
        max_timeouts=segments(stage, plan.cluster) - 1 + plan.cluster.slurm.max_timeouts,
        requeues=plan.cluster.slurm.requeue,
        chain=chain(stage, plan.cluster),
        memory_bytes=stage.resident_bytes,
    )


def _manifest(
    stage: PlannedStage,
    stages: Mapping[str, PlannedStage],
    plan: Plan,
    store: Path,
    run: Path,
    provenance: Mapping[str, Any],
) -> Manifest:
    servers = plan.cluster.servers
    return Manifest.model_construct(
        format=1,
        label=stage.label,
        stage=cast("AnyStage", stage.stage),
        identity=dict(stage.identity),
        fingerprint=stage.fingerprint,
        placement=stage.placement,
        inputs={need: _input(stages[need], store) for need in stage.needs},
        servers={need: servers[model] for need, model in stage.endpoints.items() if model in servers},
        files=stage.files,
        output=str(artifact_path(store, stage.kind, stage.fingerprint)),
        scratch=str(store / "scratch" / stage.fingerprint),
        journal=str(journal_path(run, stage.label)),
        planned={
            "wall_s": stage.wall_s,
            "speed_wall_s": round(stage.cost.speed_wall_s, 3),
            "basis": stage.cost.basis,
            "cluster": plan.cluster.name,
            "rows": stage.work.rows,
            "steps": stage.work.steps,
            "tokens": stage.work.tokens,
            "flops": stage.work.flops,
            "parameters": stage.parameters.total if stage.parameters else None,
            "memory_bytes_per_gpu": stage.memory.total if stage.memory else None,
        },
        provenance=dict(provenance),
    )


def _input(stage: PlannedStage, store: Path) -> ManifestInput:
    return ManifestInput(
        stage=stage.label,
        kind=stage.kind,
        fingerprint=stage.fingerprint,
        path=str(artifact_path(store, stage.kind, stage.fingerprint)),
    )

"""The script of one stage's job: the bytes that Slurm receives."""

import json
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from compiler.job import job_name
from compiler.plan import Plan, PlannedStage
from compiler.render import render
from compiler.runs.layout import log_folder
from compiler.schema.cluster import Cluster, Server, ServerStart
from compiler.schema.slurm import Apptainer, Pyxis, Slurm

_DEAF = ("sh", "-c", 'trap "" USR2 TERM; exec "$@"', "sh")
"""A signal that comes before Python listens would end the job as failed, and a job that gives way while it starts would
not be queued again. Python listens as soon as submitit runs."""
_SUBMITIT = ("-u", "-m", "submitit.core._submit")


def job_scripts(stage: PlannedStage, plan: Plan, run: Path) -> tuple[str, ...]:
    """The texts of the sbatch files, one for each leg of the stage; `run` is absolute.

    Dependencies stand on sbatch's command line: they are job ids.
    """
    return tuple(_job_script(stage, leg.ranks, plan, run) for leg in stage.legs)


def _job_script(stage: PlannedStage, ranks: int, plan: Plan, run: Path) -> str:
    cluster, slurm = plan.cluster, plan.cluster.slurm
    logs = log_folder(run, stage.label)
    threads = stage.placement.threads
    servers = _to_start(stage, plan)
    variables = {
        **slurm.environment,
        "SUBMITIT_EXECUTOR": "slurm",
        "PYTHONSAFEPATH": "1",
        "OMP_NUM_THREADS": str(threads),
    }
    text = render(
        "jobs/sbatch.sh.j2",
        name=job_name(stage.label, run.name),
        requeue="requeue" if slurm.requeue else "no-requeue",
        flags=list(_flags(stage, ranks, cluster)),
        logs=str(logs),
        logs_quoted=shlex.quote(str(logs)),
        # As submitit calls the files of a job: an element of an array has two numbers.
        job="%A_%a" if stage.placement.shards > 1 else "%j",
        job_id="${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" if stage.placement.shards > 1 else "$SLURM_JOB_ID",
        warning_s=slurm.warning_s,
        modules=[shlex.quote(module) for module in slurm.modules],
        environment=[f"{name}={shlex.quote(value)}" for name, value in sorted(variables.items())],
        servers=[
            _started(number, model, server, stage, cluster)
            for number, (model, server) in enumerate(servers.items(), start=1)
        ],
        command=shlex.join([*_in_pyxis(slurm), *_DEAF, *_in_apptainer(slurm), *_python(slurm), *_SUBMITIT, str(logs)]),
    )
    # sbatch drops an empty line of a heterogeneous job's script, and what it receives must be what we have written.
    return re.sub(r"\n{2,}", "\n", text) if servers else text


def _to_start(stage: PlannedStage, plan: Plan) -> Mapping[str, Server]:
    """Model -> server, of those that the stage asks and that its job starts."""
    listed = plan.cluster.servers
    asked = dict.fromkeys(stage.endpoints.values())
    return {model: listed[model] for model in asked if model in listed and listed[model].start is not None}


def _started(number: int, model: str, server: Server, stage: PlannedStage, cluster: Cluster) -> dict[str, Any]:
    """A component of the heterogeneous job, as the template takes it."""
    start = server.start
    assert start is not None
    return {
        "number": number,
        "model": shlex.quote(model),
        "model_quoted": shlex.quote(json.dumps(model)),
        "flags": list(_server_flags(start, stage, cluster)),
        "command": shlex.quote(start.command),
        "patience_s": round(server.patience_s),
    }


def _server_flags(start: ServerStart, stage: PlannedStage, cluster: Cluster) -> Iterator[str]:
    yield f"--nodes={start.nodes}"
    yield "--ntasks-per-node=1"
    yield f"--cpus-per-task={start.cores}"
    yield from _gpu_flags(start.gpus_per_node, cluster.slurm)
    yield from _common_flags(start.partition or stage.placement.partition, stage, cluster)


def _flags(stage: PlannedStage, ranks: int, cluster: Cluster) -> Iterator[str]:
    slurm = cluster.slurm
    nodes = -(-ranks // cluster.gpus_per_node) if stage.cost.gpus and cluster.gpus_per_node else 1
    per_node = ranks // nodes
    yield f"--nodes={nodes}"
    yield f"--ntasks-per-node={per_node}"
    yield f"--cpus-per-task={stage.placement.threads}"
    yield from _gpu_flags(per_node if stage.cost.gpus else 0, slurm)
    if stage.placement.shards > 1:
        at_once = f"%{slurm.array_tasks}" if slurm.array_tasks else ""
        yield f"--array=0-{stage.placement.shards - 1}{at_once}"
    if stage.cost.gpus and slurm.exclusive:
        yield "--exclusive"
    yield from _common_flags(stage.placement.partition, stage, cluster)


def _gpu_flags(per_node: int, slurm: Slurm) -> Iterator[str]:
    if per_node and slurm.gpus == "gpus_per_node":
        yield f"--gpus-per-node={per_node}"
    elif per_node and slurm.gpus == "gres":
        yield f"--gres=gpu:{per_node}"


def _common_flags(partition: str | None, stage: PlannedStage, cluster: Cluster) -> Iterator[str]:
    slurm = cluster.slurm
    partition = partition or next(iter(slurm.partitions), None)
    limit = slurm.partitions[partition].max_walltime if partition in slurm.partitions else None
    given = {
        "partition": partition,
        "account": slurm.account,
        "qos": slurm.qos,
        "constraint": slurm.constraint,
        "time": stage.placement.walltime or limit,
    }
    for flag, value in given.items():
        if value is not None:
            yield f'--{flag}="{value}"'


def _in_pyxis(slurm: Slurm) -> Iterator[str]:
    """Flags of srun."""
    if isinstance(slurm.container, Pyxis):
        yield f"--container-image={slurm.container.image}"
        if slurm.container.mounts:
            yield f"--container-mounts={','.join(slurm.container.mounts)}"


def _in_apptainer(slurm: Slurm) -> Iterator[str]:
    """What goes before Python."""
    if isinstance(slurm.container, Apptainer):
        yield from ("apptainer", "exec", "--nv")
        if slurm.container.mounts:
            yield from ("--bind", ",".join(slurm.container.mounts))
        yield slurm.container.image


def _python(slurm: Slurm) -> list[str]:
    return [slurm.python or ("python3" if slurm.container else sys.executable), "-P"]

"""The script of one stage's job: the bytes that Slurm receives."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from compiler.plan import PlannedStage
from compiler.render import render
from compiler.runs.layout import log_folder
from compiler.schema.cluster import Cluster
from compiler.schema.slurm import Apptainer, Pyxis, Slurm


def job_script(stage: PlannedStage, cluster: Cluster, run: Path) -> str:
    """The text of the sbatch file; `run` is absolute. Dependencies stand on sbatch's command line: they are job ids."""
    slurm = cluster.slurm
    logs = log_folder(run, stage.label)
    threads = stage.placement.threads
    variables = {
        **slurm.environment,
        "SUBMITIT_EXECUTOR": "slurm",
        "PYTHONSAFEPATH": "1",
        "OMP_NUM_THREADS": str(threads),
    }
    return render(
        "jobs/sbatch.sh.j2",
        name=job_name(run, stage.label),
        flags=list(_flags(stage, cluster)),
        logs=str(logs),
        logs_quoted=shlex.quote(str(logs)),
        # As submitit calls the files of a job: an element of an array has two numbers.
        job="%A_%a" if stage.placement.shards > 1 else "%j",
        job_id="${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" if stage.placement.shards > 1 else "$SLURM_JOB_ID",
        warning_s=slurm.warning_s,
        modules=[shlex.quote(module) for module in slurm.modules],
        environment=[f"{name}={shlex.quote(value)}" for name, value in sorted(variables.items())],
        command=shlex.join([*_around(slurm), *_python(slurm), "-u", "-m", "submitit.core._submit", str(logs)]),
    )


def job_name(run: Path, label: str) -> str:
    """What Slurm calls the job: it tells the stage to people, and to us whose submission it was."""
    return f"{label}@{run.name}"


def nodes_of(stage: PlannedStage, cluster: Cluster) -> int:
    """Nodes that the stage's ranks take."""
    ranks = stage.placement.layout.world_size
    return -(-ranks // cluster.gpus_per_node) if stage.cost.gpus and cluster.gpus_per_node else 1


def _flags(stage: PlannedStage, cluster: Cluster) -> Iterator[str]:
    slurm, nodes = cluster.slurm, nodes_of(stage, cluster)
    per_node = stage.placement.layout.world_size // nodes
    yield f"--nodes={nodes}"
    yield f"--ntasks-per-node={per_node}"
    yield f"--cpus-per-task={stage.placement.threads}"
    if stage.cost.gpus and slurm.gpus == "gpus_per_node":
        yield f"--gpus-per-node={per_node}"
    elif stage.cost.gpus and slurm.gpus == "gres":
        yield f"--gres=gpu:{per_node}"
    if stage.placement.shards > 1:
        at_once = f"%{slurm.array_tasks}" if slurm.array_tasks else ""
        yield f"--array=0-{stage.placement.shards - 1}{at_once}"
    if stage.cost.gpus and slurm.exclusive:
        yield "--exclusive"
    partition = stage.placement.partition or next(iter(slurm.partitions), None)
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


def _around(slurm: Slurm) -> Iterator[str]:
    mounts = ",".join(slurm.container.mounts) if slurm.container else ""
    match slurm.container:
        case Pyxis(image=image):
            yield f"--container-image={image}"
            if mounts:
                yield f"--container-mounts={mounts}"
        case Apptainer(image=image):
            yield from ("apptainer", "exec", "--nv")
            if mounts:
                yield from ("--bind", mounts)
            yield image
        case None:
            return


def _python(slurm: Slurm) -> list[str]:
    return [slurm.python or ("python3" if slurm.container else sys.executable), "-P"]

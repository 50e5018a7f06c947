"""Other layouts of a planned stage: those that fit, the fastest first, as a recipe would say them."""

from collections.abc import Sequence
from dataclasses import replace

from compiler.plan import PlannedStage
from compiler.planning.cost import training_run
from compiler.planning.hardware import known_gpu
from compiler.planning.search import Found, search
from compiler.schema.cluster import Cluster


def search_stage(stage: PlannedStage, cluster: Cluster, *, most: int = 10) -> Sequence[Found]:
    """The fastest layouts of as many GPUs as the stage has now; none of a stage that trains nothing on GPUs."""
    gpu = known_gpu(cluster.gpu.name) if cluster.gpu else None
    if gpu is None or cluster.gpu is None or stage.memory is None or stage.model is None:
        return ()
    run = training_run(stage.last_phase, stage.stage, stage.work, stage.placement, gpu, stage.model)
    run = replace(run, distributed_optimizer=True)
    gpus, per_node = stage.placement.layout.world_size, cluster.gpus_per_node or 1
    return search(run, gpus=gpus, gpus_per_node=per_node, memory_bytes=cluster.gpu.memory_bytes, most=most)


def written(found: Found) -> str:
    """A layout as a recipe's placement says it."""
    run = found.run
    layout = ", ".join(f"{name}: {size}" for name, size in run.layout.model_dump().items() if size > 1)
    more = ", ".join(
        [
            f"micro_batch_size: {run.micro_batch_size}",
            *(["sequence_parallel: true"] if run.sequence_parallel else []),
            "distributed_optimizer: true",
            *([f"recompute: {run.recompute}"] if run.recompute != "none" else []),
        ]
    )
    return f"{{layout: {{{layout}}}, {more}}}"

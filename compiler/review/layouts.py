"""Other layouts of a planned stage: those that fit, the fastest first, as a recipe would say them."""

from collections.abc import Sequence
from dataclasses import replace

from compiler.plan import PlannedStage
from compiler.planning.cost import answerings, training_run
from compiler.planning.hardware import known_gpu
from compiler.planning.search import Found, FoundAnswering, search, search_answering
from compiler.schema.cluster import Cluster
from compiler.schema.model import Layout


def search_stage(
    stage: PlannedStage, cluster: Cluster, *, most: int = 10
) -> Sequence[Found] | Sequence[FoundAnswering]:
    """The fastest layouts of as many GPUs as the stage has now (of twice or four times as many, where it only asks a
    model and nothing fits); none of a stage without a model of ours on GPUs."""
    gpu = known_gpu(cluster.gpu.name) if cluster.gpu else None
    if gpu is None or cluster.gpu is None or stage.memory is None or stage.model is None:
        return ()
    if not stage.work.trains:
        asked = list(answerings(stage.work, stage.placement, gpu))
        for more in (1, 2, 4):
            gpus = more * stage.placement.layout.world_size
            room = cluster.gpu.memory_bytes
            per_node = cluster.gpus_per_node or 1
            found = search_answering(asked, gpus=gpus, gpus_per_node=per_node, memory_bytes=room, most=most)
            if found:
                return found
        return ()
    run = training_run(stage.last_phase, stage.stage, stage.work, stage.placement, cluster, stage.model)
    run = replace(run, distributed_optimizer=True)
    gpus, per_node = stage.placement.layout.world_size, cluster.gpus_per_node or 1
    return search(run, gpus=gpus, gpus_per_node=per_node, memory_bytes=cluster.gpu.memory_bytes, most=most)


def written(found: Found | FoundAnswering) -> str:
    """A layout as a recipe's placement says it."""
    if isinstance(found, FoundAnswering):
        return f"{{layout: {{{_sizes(found.layout)}}}, micro_batch_size: {found.rows}}}"
    run = found.run
    more = ", ".join(
        [
            f"micro_batch_size: {run.micro_batch_size}",
            *(["sequence_parallel: true"] if run.sequence_parallel else []),
            "distributed_optimizer: true",
            *([f"recompute: {run.recompute}"] if run.recompute != "none" else []),
        ]
    )
    return f"{{layout: {{{_sizes(run.layout)}}}, {more}}}"


def seconds(found: Found | FoundAnswering) -> float:
    """Of a training step, or of all that is asked."""
    return found.seconds if isinstance(found, FoundAnswering) else found.time.seconds


def _sizes(layout: Layout) -> str:
    return ", ".join(f"{name}: {size}" for name, size in layout.model_dump().items() if size > 1)

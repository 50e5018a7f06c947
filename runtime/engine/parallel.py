"""Ranks and process groups: `start` turns one process of a job into a member of Megatron's parallel world."""

import contextlib
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.distributed as dist
from megatron.core import parallel_state, tensor_parallel
from torch._C._distributed_c10d import FileStore, HashStore

from compiler.manifest import Placement
from compiler.schema.model import Layout


@dataclass(frozen=True)
class Options:
    """How the ranks of a layout share their work. Like the layout, it changes no result but in its rounding."""

    sequence_parallel: bool = False
    """Tensor-parallel ranks divide what lies between their layers along the sequence."""
    distributed_optimizer: bool = False
    """Data-parallel ranks divide the optimizer's state."""
    overlap: bool = False
    """Gradients are reduced, and parameters of a distributed optimizer gathered, while the next layers compute."""
    recompute: Literal["none", "selective", "full"] = "none"
    """Activations that the backward pass computes again: none, those of core attention, or all of a layer."""

    @classmethod
    def of(cls, placement: Placement) -> "Options":
        """What a stage's placement says."""
        return cls(
            sequence_parallel=placement.sequence_parallel,
            distributed_optimizer=placement.distributed_optimizer,
            overlap=placement.overlap,
            recompute=placement.recompute,
        )


@dataclass(frozen=True)
class World:
    """Where this process stands. Ranks count from 0."""

    rank: int
    size: int
    layout: Layout
    tp_rank: int
    pp_rank: int
    dp_rank: int
    """Among the ranks that see different data."""

    @property
    def is_main(self) -> bool:
        """The one rank that writes what is written once."""
        return self.rank == 0


@contextlib.contextmanager
def start(layout: Layout, *, rank: int, world_size: int, rendezvous: Path | None, seed: int) -> Iterator[World]:
    """Joins this process to its job: torch.distributed, Megatron's groups, seeds. Leaves it again at the end.

    `rendezvous` is a file on a file system that all ranks see; it must be a fresh path for every attempt, since a store
    file left by a killed attempt makes the next one hang. None takes MASTER_ADDR and MASTER_PORT from the environment
    (what srun jobs set). A single process needs neither.
    """
    _refuse_impossible(layout, world_size=world_size)
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0"))))
    if not on_gpu and (rendezvous is not None or world_size == 1):
        # One node: gloo otherwise asks the resolver for the host's name, which can be slow or wrong on a laptop.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    backend = "nccl" if on_gpu else "gloo"
    if world_size == 1:
        dist.init_process_group(backend, store=HashStore(), rank=0, world_size=1)
    elif rendezvous is not None:
        store = FileStore(str(rendezvous), world_size)
        dist.init_process_group(backend, store=store, rank=rank, world_size=world_size)
    else:
        dist.init_process_group(backend, init_method="env://", rank=rank, world_size=world_size)
    try:
        divide(layout)
        _seed_everything(seed)
        yield World(
            rank=rank,
            size=world_size,
            layout=layout,
            tp_rank=parallel_state.get_tensor_model_parallel_rank(),
            pp_rank=parallel_state.get_pipeline_model_parallel_rank(),
            dp_rank=parallel_state.get_data_parallel_rank(),
        )
    finally:
        parallel_state.destroy_model_parallel()
        dist.destroy_process_group()


def divide(layout: Layout) -> None:
    """Makes Megatron's groups of the ranks of torch.distributed."""
    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=layout.tp,
        pipeline_model_parallel_size=layout.pp,
        virtual_pipeline_model_parallel_size=layout.vpp if layout.vpp > 1 else None,
        context_parallel_size=layout.cp,
        # A second, gloo, copy of every group is needed beside NCCL only by legacy checkpoint formats.
        create_gloo_process_groups=False,
    )


def _refuse_impossible(layout: Layout, *, world_size: int) -> None:
    if layout.world_size != world_size:
        raise ValueError(
            f"layout tp={layout.tp} pp={layout.pp} cp={layout.cp} dp={layout.dp} needs {layout.world_size} ranks, "
            f"but the job has {world_size}"
        )
    if layout.vpp > 1 and layout.pp == 1:
        raise ValueError(f"vpp={layout.vpp} without pipeline parallelism has no effect; set vpp to 1 or pp above 1")


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    tensor_parallel.model_parallel_cuda_manual_seed(seed, force_reset_rng=True)

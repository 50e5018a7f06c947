"""Counts what ranks of large layouts hold, without their machines: `python engine_cluster.py` prints JSON."""

import json
import sys

import torch.distributed as dist
from engine_cases import NEMOTRON
from torch.testing._internal.distributed.fake_pg import FakeStore

from compiler.schema.model import Layout, ModelSpec
from runtime.engine import parallel
from runtime.engine.model import num_parameters

NEMOTRON_340B = NEMOTRON.model_copy(
    update={
        "num_layers": 96,
        "hidden_size": 18432,
        "ffn_hidden_size": 73728,
        "num_attention_heads": 96,
        "num_query_groups": 8,
        "vocab_size": 256000,
        "seq_length": 4096,
    }
)
LAYOUTS: dict[str, Layout] = {
    "the report's largest": Layout(tp=8, pp=12, vpp=8, dp=64),
    "not interleaved": Layout(tp=8, pp=12, dp=16),
    "long sequences": Layout(tp=8, pp=6, cp=4, dp=8),
}


def count(spec: ModelSpec, layout: Layout, rank: int) -> int:
    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=layout.world_size)
    try:
        parallel.divide(layout)
        return num_parameters(spec, layout)
    finally:
        parallel.parallel_state.destroy_model_parallel()
        dist.destroy_process_group()


if __name__ == "__main__":
    found = {}
    for name, layout in LAYOUTS.items():
        stage = layout.world_size // layout.pp
        ranks = (0, stage * (layout.pp // 2), layout.world_size - 1)
        found[name] = [count(NEMOTRON_340B, layout, rank) for rank in ranks]
    json.dump(found, sys.stdout)

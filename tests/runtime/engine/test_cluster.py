"""Layouts of thousands of ranks, on the meta device and torch's fake process group."""

import json
import subprocess
import sys
from pathlib import Path

from engine_cases import environment
from engine_cluster import LAYOUTS, NEMOTRON_340B


def test_ranks_of_the_largest_layouts_hold_their_share_of_every_matrix() -> None:
    script = str(Path(__file__).with_name("engine_cluster.py"))
    command = [sys.executable, "-W", "ignore", script]
    found = json.loads(subprocess.run(command, env=environment(), check=True, capture_output=True, timeout=300).stdout)
    spec = NEMOTRON_340B
    heads = spec.num_attention_heads + 2 * spec.num_query_groups
    matrices = spec.hidden_size * (heads * spec.head_dim + spec.hidden_size + 2 * spec.ffn_hidden_size)
    norm = 2 * spec.hidden_size
    for name, layout in LAYOUTS.items():
        layers = spec.num_layers // layout.pp * (matrices // layout.tp + 2 * norm)
        embedding = spec.vocab_size * spec.hidden_size // layout.tp
        assert found[name] == [layers + embedding, layers, layers + embedding + norm], name
    # Counted once from Megatron's own model: 6,144 ranks of Nemotron-4 340B.
    assert found["the report's largest"][0] == 4_044_423_168
    assert found["the report's largest"][2] == 4_044_460_032

"""Recipes of many stages compile right, and nothing heavy is loaded for it."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from compiler.clusters import find_cluster
from compiler.pipeline import compile_graph
from compiler.plan import make_plan
from compiler.planning.inventory import EMPTY

_ROOT = Path(__file__).parents[2]
_HEAVY = ("torch", "megatron", "transformer_engine", "numpy", "tokenizers", "submitit", "networkx", "jinja2")
_CHAINS = 1_000
_LENGTH = 10


def _recipe(folder: Path) -> Path:
    """Chains of ten: prompts, answers, and eight mixes each of the one before; two neighbours share their seeds."""
    lines = [
        "rung: 1",
        "name: many",
        "generators: {all: {kind: tasks, families: {reverse: 1}}}",
        "splits: {all: {salt: a, shares: {training: 1}}}",
        "pipeline:",
    ]
    for chain in range(_CHAINS):
        seed = chain // 2
        prompts = "kind: prompts, generator: all, count: 9, split: all, parts: [training]"
        lines.append(f"  s{chain}_0: {{{prompts}, seed: {seed}}}")
        lines.append(f"  s{chain}_1: {{kind: annotate, prompts: s{chain}_0, error_rate: 0, seed: 1}}")
        for number in range(2, _LENGTH):
            data = f"data: {{s{chain}_{number - 1}: 1}}"
            lines.append(f"  s{chain}_{number}: {{kind: mix, rows: dialogues, {data}, count: 9, seed: 1}}")
    file = folder / "many.yaml"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def test_ten_thousand_stages_have_their_labels_edges_and_fingerprints(tmp_path: Path) -> None:
    graph = compile_graph(_recipe(tmp_path), [])
    plan = make_plan(graph, find_cluster("laptop"), EMPTY, cores=2, now=datetime.now(UTC))
    stages = {stage.label: stage for stage in plan.stages}
    assert len(plan.stages) == len(stages) == _CHAINS * _LENGTH
    for chain in range(_CHAINS):
        assert stages[f"s{chain}_0"].needs == ()
        for number in range(1, _LENGTH):
            assert stages[f"s{chain}_{number}"].needs == (f"s{chain}_{number - 1}",)
        twin = chain - chain % 2
        for number in range(_LENGTH):
            stage = stages[f"s{chain}_{number}"]
            assert stage.same_as == f"s{twin}_{number}"
            assert stage.action == ("run" if chain == twin else "reuse")
    assert len({stage.fingerprint for stage in plan.stages}) == _CHAINS * _LENGTH // 2


def test_planning_loads_nothing_heavy(tmp_path: Path) -> None:
    recipe = _ROOT / "specs" / "experiments" / "tiny.yaml"
    code = (
        "import json, sys; from compiler.cli import main; "
        f"status = main(['plan', {str(recipe)!r}, '--json', '--store', {str(tmp_path)!r}]); "
        f"print(json.dumps([status, [name for name in {_HEAVY!r} if name in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=_ROOT)
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]

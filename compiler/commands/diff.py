"""`rung diff`: what another recipe, or a past run, would compute otherwise."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from compiler.commands.mistakes import UserError
from compiler.pipeline import compile_graph, plan_graph
from compiler.planning.inventory import Inventory, read_inventory
from compiler.review.compare import Comparison, Side, compare
from compiler.runs.layout import PLAN, find_run, manifest_name


def run(arguments: argparse.Namespace) -> int:
    """Prints the comparison; 0 if both are the same, 1 if not."""
    inventory = read_inventory(arguments.store)
    found = compare(_side(arguments.old, inventory, arguments), _side(arguments.new, inventory, arguments))
    print(json.dumps(asdict(found)) if arguments.json else _in_words(found))
    return 0 if found.equal else 1


def _side(name: str, inventory: Inventory, arguments: argparse.Namespace) -> Side:
    if name.endswith((".yaml", ".yml")):
        graph = compile_graph(Path(name), [])
        plan = plan_graph(graph, inventory, cluster=arguments.cluster, store=arguments.store)
        return Side(
            name,
            {stage.label: stage.fingerprint for stage in plan.stages},
            {stage.fingerprint: stage.identity for stage in plan.stages},
        )
    folder = find_run(arguments.store, name)
    if folder is None:
        raise UserError(f"{name!r} is neither a recipe (.yaml) nor a run under {arguments.store}")
    return _past(folder, inventory)


def _past(folder: Path, inventory: Inventory) -> Side:
    """A run as it was planned: what it ran is in its manifests, what it reused in the store."""
    stages = json.loads((folder / PLAN).read_text(encoding="utf-8"))["stages"]
    identities: dict[str, Any] = {print_: record.stage for print_, record in inventory.records.items()}
    for stage in stages:
        manifest = folder / manifest_name(stage["name"])
        if manifest.is_file():
            identities[stage["fingerprint"]] = json.loads(manifest.read_text(encoding="utf-8"))["identity"]
    return Side(folder.name, {stage["name"]: stage["fingerprint"] for stage in stages}, identities)


def _in_words(found: Comparison) -> str:
    lines = [f"{len(found.same)} stages are the same"]
    lines += [f"- {label}" for label in found.removed]
    lines += [f"+ {label}" for label in found.added]
    lines += [f"{old} is called {new}" for old, new in found.renamed]
    if found.changed:
        lines.append(f"{len(found.changed)} changed: {', '.join(found.changed)}")
        lines.append("because of")
        lines += [f"  {cause}" for cause in found.causes]
    return "\n".join(lines)

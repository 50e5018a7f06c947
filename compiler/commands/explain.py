"""`rung explain`: why a stage will run, which written value is behind it, and what it costs again."""

import argparse
import json
from dataclasses import asdict

from compiler.commands.mistakes import UserError
from compiler.errors import did_you_mean
from compiler.pipeline import compile_graph, plan_graph
from compiler.planning.inventory import read_inventory
from compiler.review.explain import Explanation, explain
from compiler.words import duration


def run(arguments: argparse.Namespace) -> int:
    """Prints the explanation of one stage."""
    graph = compile_graph(arguments.spec, arguments.overrides)
    if arguments.stage not in graph:
        hint = did_you_mean(arguments.stage, graph.order())
        raise UserError(f"the recipe has no stage {arguments.stage!r}; {hint}")
    inventory = read_inventory(arguments.store)
    plan = plan_graph(graph, inventory, cluster=arguments.cluster, store=arguments.store)
    found = explain(arguments.stage, plan, graph, inventory)
    print(json.dumps(asdict(found)) if arguments.json else _in_words(found))
    return 0


def _in_words(found: Explanation) -> str:
    lines = [f"{found.label}: {found.action} ({found.reason})", f"  fingerprint {found.fingerprint}"]
    if found.action != "run":
        if found.causes:
            lines.append("  since it was sealed the recipe has changed:")
            lines += [f"    {placed.cause}    {placed.at}" for placed in found.causes]
        return "\n".join(lines)
    if found.relative:
        lines.append(f"  nearest sealed relative {found.relative}; since then:")
        lines += [f"    {placed.cause}    {placed.at}" for placed in found.causes]
    if found.invalidated:
        many = len(found.invalidated)
        lines.append(f"  with it {many} stage{'s' if many > 1 else ''} run: {', '.join(found.invalidated)}")
    hours = (
        f"{found.gpu_hours:,.1f} GPU-hours" if found.gpu_hours else f"{duration(3600 * found.core_hours)} of core time"
    )
    lines.append(f"  planned: {hours}")
    if found.spent_hours:
        lines.append(f"  what was sealed before took {duration(3600 * found.spent_hours)} (measured)")
    return "\n".join(lines)

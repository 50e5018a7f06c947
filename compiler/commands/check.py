"""`rung check`: every mistake in a spec, or none."""

import argparse
import json

from compiler.pipeline import compile_graph


def run(arguments: argparse.Namespace) -> int:
    """Says that there is no problem; a problem is raised on the way."""
    graph = compile_graph(arguments.spec, arguments.overrides)
    labels = list(graph.order())
    if arguments.json:
        print(json.dumps({"name": graph.name, "stages": labels, "problems": []}))
    elif arguments.stages:
        print("\n".join(labels))
    else:
        print(f"{arguments.spec}: {len(labels)} stages, no problems")
    return 0

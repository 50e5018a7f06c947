"""`rung schema`: the JSON Schema of specs or of cluster files, for editors."""

import argparse
import json

from compiler.terminal.json_schema import cluster_json_schema, spec_json_schema


def run(arguments: argparse.Namespace) -> int:
    """Prints the schema."""
    schema = cluster_json_schema() if arguments.cluster else spec_json_schema()
    print(json.dumps(schema, indent=1))
    return 0

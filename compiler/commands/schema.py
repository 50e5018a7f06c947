"""`rung schema`: the JSON Schema of specs, for editors."""

import argparse
import json

from compiler.schema.json_schema import spec_json_schema


def run(_: argparse.Namespace) -> int:
    """Prints the schema."""
    print(json.dumps(spec_json_schema(), indent=1))
    return 0

"""`rung render`: the run directory, without running anything."""

import argparse
import json

from compiler.commands.mistakes import UserError
from compiler.pipeline import compile_bundle, compile_plan
from compiler.submit import write_bundle


def run(arguments: argparse.Namespace) -> int:
    """Writes the directory and lists its files."""
    if arguments.out.exists():
        raise UserError(f"{arguments.out} exists; give a new directory")
    plan = compile_plan(arguments.spec, arguments.overrides, cluster=arguments.cluster, store=arguments.store)
    bundle = compile_bundle(plan, arguments.spec, store=arguments.store, run=arguments.out)
    write_bundle(bundle, arguments.out)
    if arguments.json:
        print(json.dumps({"directory": str(arguments.out), "files": sorted(bundle.files)}))
    else:
        print("\n".join(str(arguments.out / name) for name in sorted(bundle.files)))
    return 0

"""`rung plan`: what will run, what is reused and why, and what it will take."""

import argparse
import json

from compiler.pipeline import compile_plan
from compiler.plan import Plan, plan_json


def run(arguments: argparse.Namespace) -> int:
    """Prints the plan."""
    plan = compile_plan(arguments.spec, arguments.overrides, cluster=arguments.cluster, store=arguments.store)
    if arguments.json:
        print(json.dumps(plan_json(plan)))
    else:
        show_plan(plan)
    return 0


def show_plan(plan: Plan) -> None:
    """The plan as a table with its sums."""
    from compiler.terminal.console import console
    from compiler.terminal.tables import plan_summary, plan_table

    screen = console()
    screen.print(plan_table(plan))
    screen.print(plan_summary(plan))

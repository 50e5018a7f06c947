"""`rung plan`: what will run, what is reused and why, and what it will take."""

import argparse
import json
from typing import Any

from compiler.commands.mistakes import UserError
from compiler.errors import did_you_mean
from compiler.pipeline import compile_plan
from compiler.plan import Plan, plan_json
from compiler.planning.search import Found, FoundAnswering
from compiler.review.layouts import search_stage, seconds, written


def run(arguments: argparse.Namespace) -> int:
    """Prints the plan."""
    plan = compile_plan(arguments.spec, arguments.overrides, cluster=arguments.cluster, store=arguments.store)
    if arguments.search:
        return _show_search(plan, arguments.search, as_json=arguments.json)
    if arguments.json:
        print(json.dumps(plan_json(plan)))
    elif arguments.markdown:
        from compiler.terminal.markdown import plan_markdown

        print(plan_markdown(plan), end="")
    else:
        show_plan(plan)
    return 0


def _show_search(plan: Plan, label: str, *, as_json: bool) -> int:
    """The fastest layouts of one stage that fit."""
    stages = {stage.label: stage for stage in plan.stages}
    if label not in stages:
        raise UserError(f"the recipe has no stage {label!r}; {did_you_mean(label, stages)}")
    if stages[label].memory is None:
        raise UserError(f"{label} runs no model of ours on GPUs that the planner knows")
    found = search_stage(stages[label], plan.cluster)
    if as_json:
        rows = [{"placement": written(one), **_searched(one)} for one in found]
        print(json.dumps(rows))
    for one in [] if as_json else found:
        print(f"{seconds(one):8.3f} s  {one.memory.total / 1e9:6.1f} GB  {written(one)}")
    return 0


def _searched(one: Found | FoundAnswering) -> dict[str, Any]:
    memory = {"memory_bytes": one.memory.total}
    if isinstance(one, FoundAnswering):
        return {"layout": one.layout.model_dump(), "micro_batch": one.rows, "seconds": one.seconds, **memory}
    return {
        "layout": one.run.layout.model_dump(),
        "micro_batch": one.run.micro_batch_size,
        "recompute": one.run.recompute,
        "step_time_s": one.time.seconds,
        **memory,
    }


_MOST_ROWS = 150
"""Of a table that a person looks at; a file or a pipe gets a line for each stage."""


def show_plan(plan: Plan) -> None:
    """What runs and why, what it takes, and what to know before."""
    from rich.text import Text

    from compiler.review.warnings import warnings
    from compiler.terminal.console import console
    from compiler.terminal.listing import listed
    from compiler.terminal.tables import plan_lines, plan_summary, plan_table

    screen = console()
    if screen.is_terminal:
        listing = listed(plan, most=_MOST_ROWS)
        screen.print(plan_table(listing, screen.width))
        if listing.left_out:
            screen.print(f"… and {listing.left_out:,} stages more; `rung plan … | less` shows them all", style="dim")
        screen.print()
    else:
        for line in plan_lines(listed(plan)):
            print(line)
    for warning in warnings(plan):
        screen.print(Text.assemble(("note: ", "yellow"), warning))
    screen.print(Text(plan_summary(plan)))

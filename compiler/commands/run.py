"""`rung run`: a spec's stages on this machine."""

import argparse
import gc
import json
import sys
from pathlib import Path

from rich.console import Console

from compiler.commands.mistakes import INTERRUPTED, UserError
from compiler.commands.plan import show_plan
from compiler.commands.report import show_report
from compiler.pipeline import compile_plan, create_run
from compiler.runs.local import AlreadyRunningError, run_locally
from compiler.runs.status import read_status
from compiler.terminal.console import console
from compiler.terminal.live import watching
from compiler.terminal.tables import status_table


def run(arguments: argparse.Namespace) -> int:
    """Plans, writes the run directory and runs it."""
    plan = compile_plan(
        arguments.spec, arguments.overrides, cluster=arguments.cluster, store=arguments.store, runnable=True
    )
    if plan.cluster.executor != "local":
        raise UserError(f"{plan.cluster.name} is a Slurm cluster: write `rung submit`; `rung run` runs on this machine")
    directory = create_run(plan, arguments.spec, store=arguments.store)
    if not arguments.json:
        show_plan(plan)
        console().print(f"run {directory.name}", highlight=False)
    return go(directory, as_json=arguments.json)


def go(run: Path, *, as_json: bool) -> int:
    """Runs what is not sealed and shows how it ends."""
    screen = console(stderr=as_json)
    gc.enable()
    try:
        with watching(screen, run) as watch:
            outcome = run_locally(run, watch=watch)
    except AlreadyRunningError as error:
        raise UserError(str(error)) from None
    except KeyboardInterrupt:
        print(f"interrupted; nothing that is finished is lost: rung resume {run.name}", file=sys.stderr)
        return INTERRUPTED
    status = read_status(run)
    if as_json:
        print(json.dumps({"run": run.name, "state": status.state, "failed": list(outcome.failed)}))
    else:
        _show_end(screen, run, status.state == "done")
    return 0 if status.state == "done" else 1


def _show_end(screen: Console, run: Path, done: bool) -> None:
    if done:
        show_report(screen, run)
        return
    screen.print(status_table(read_status(run)))
    screen.print(f"not finished; when the cause is mended: rung resume {run.name}", highlight=False)

"""`rung status`: the state of a run's stages."""

import argparse
import json
from dataclasses import asdict

from compiler.commands.past_runs import named_run
from compiler.runs.status import current_status


def run(arguments: argparse.Namespace) -> int:
    """Prints the state as the run's files tell it."""
    status = current_status(named_run(arguments))
    if arguments.json:
        print(json.dumps(asdict(status)))
        return 0
    from compiler.terminal.console import console
    from compiler.terminal.tables import status_table

    screen = console()
    screen.print(f"{status.run}: {status.state}", highlight=False)
    screen.print(status_table(status))
    if status.note:
        screen.print(status.note, style="yellow", highlight=False)
    return 0

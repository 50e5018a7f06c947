"""`rung watch`: a run's stages, again and again until it has ended."""

import argparse
import time

from rich.console import Group
from rich.live import Live
from rich.text import Text

from compiler.commands.past_runs import named_run
from compiler.runs.status import RunStatus, current_status
from compiler.terminal.console import console
from compiler.terminal.tables import status_table

_EVERY_S = 5.0
_ENDED = ("done", "failed", "cancelled")


def run(arguments: argparse.Namespace) -> int:
    """Shows the table anew every few seconds; plain lines, one for each change, where nobody looks. Ends with 1 if the
    run does not end well."""
    directory = named_run(arguments)
    screen = console()
    status = current_status(directory)
    if screen.is_terminal:
        with Live(_picture(status), console=screen, auto_refresh=False) as live:
            while status.state not in _ENDED:
                time.sleep(_EVERY_S)
                status = current_status(directory)
                live.update(_picture(status), refresh=True)
    else:
        told: dict[str, str] = {}
        while True:
            for stage in status.stages:
                if told.get(stage.name) != stage.state:
                    told[stage.name] = stage.state
                    screen.print(f"{stage.name}: {stage.state}  {stage.message}".rstrip(), highlight=False)
            if status.state in _ENDED:
                break
            time.sleep(_EVERY_S)
            status = current_status(directory)
    return 0 if status.state == "done" else 1


def _picture(status: RunStatus) -> Group:
    return Group(Text(f"{status.run}: {status.state}"), status_table(status), Text(status.note, style="yellow"))

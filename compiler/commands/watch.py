"""`rung watch`: a run's stages, again and again until it has ended; in the terminal, or as a page."""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from compiler.commands.graph import require
from compiler.commands.past_runs import named_run
from compiler.runs.status import RunStatus, current_status
from compiler.terminal.console import console
from compiler.terminal.tables import status_table

_EVERY_S = 5.0
_ENDED = ("done", "failed", "cancelled")

Show = Callable[[RunStatus], None]


def run(arguments: argparse.Namespace) -> int:
    """Shows the table anew every few seconds; plain lines, one for each change, where nobody looks. With `--html` a
    page is written as often, or served. Ends with 1 if the run does not end well."""
    directory = named_run(arguments)
    screen = console()
    if arguments.html is None:
        status = _show(directory, screen, lambda _: None)
    else:
        require("html")
        status = _serve(directory, screen) if arguments.html == "" else _write(directory, screen, Path(arguments.html))
    return 0 if status.state == "done" else 1


def _show(directory: Path, screen: Console, further: Show) -> RunStatus:
    """Shows every state in the terminal, and to `further`; returns the last."""
    if not screen.is_terminal:
        told: dict[str, str] = {}
        for status in _states(directory):
            further(status)
            for stage in status.stages:
                if told.get(stage.name) != stage.state:
                    told[stage.name] = stage.state
                    screen.print(f"{stage.name}: {stage.state}  {stage.message}".rstrip(), highlight=False)
        return status
    with Live(console=screen, auto_refresh=False) as live:
        for status in _states(directory):
            further(status)
            live.update(_picture(status), refresh=True)
    return status


def _states(directory: Path) -> Iterator[RunStatus]:
    while True:
        status = current_status(directory)
        yield status
        if status.state in _ENDED:
            return
        time.sleep(_EVERY_S)


def _write(directory: Path, screen: Console, file: Path) -> RunStatus:
    from compiler.runs.page import RunPage

    page = RunPage(directory)

    def write(status: RunStatus) -> None:
        partial = file.with_name(f".{file.name}.partial")
        partial.write_text(page.text(status, now=time.time(), every_s=_EVERY_S), encoding="utf-8")
        partial.replace(file)

    screen.print(f"{file} shows it as well", highlight=False)
    return _show(directory, screen, write)


def _serve(directory: Path, screen: Console) -> RunStatus:
    """Until somebody interrupts it: whoever looks at the page wants to see the end as well."""
    from compiler.runs.page import RunPage
    from compiler.runs.server import Watched, serving

    watched = Watched(current_status(directory))

    def keep(status: RunStatus) -> None:
        watched.status = status

    with serving(RunPage(directory), watched, _EVERY_S) as address:
        screen.print(f"{address} shows it as well, until Ctrl-C", highlight=False, soft_wrap=True)
        try:
            _show(directory, screen, keep)
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return watched.status


def _picture(status: RunStatus) -> Group:
    return Group(Text(f"{status.run}: {status.state}"), status_table(status), Text(status.note, style="yellow"))

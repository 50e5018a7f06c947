"""`rung report`: the ladder of a run."""

import argparse
import json
from pathlib import Path

from rich.console import Console

from compiler.commands.mistakes import UserError
from compiler.commands.past_runs import named_run
from compiler.runs.layout import read_jobs
from compiler.terminal.console import console
from compiler.terminal.tables import claims_text, ladder_table


def run(arguments: argparse.Namespace) -> int:
    """Prints what the run's report stages have sealed."""
    directory = named_run(arguments)
    if arguments.json:
        reports = [json.loads((folder / "report.json").read_text(encoding="utf-8")) for folder in _reports(directory)]
        print(json.dumps(reports))
        return 0
    show_report(console(), directory)
    return 0


def show_report(screen: Console, run: Path) -> None:
    """The ladder, the claims, and where the whole report lies."""
    for folder in _reports(run):
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        screen.print()
        screen.print(ladder_table(report))
        screen.print(claims_text(report))
        screen.print(f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


def _reports(run: Path) -> list[Path]:
    """The sealed reports of a run; a mistake of the user's if there are none."""
    reports = [Path(job.artifact) for job in read_jobs(run).jobs if job.kind == "report"]
    sealed = [folder for folder in reports if (folder / "artifact.json").is_file()]
    if not sealed:
        word = "its report stage is not sealed yet" if reports else "its recipe has no stage of kind `report`"
        raise UserError(f"run {run.name} has no report: {word}")
    return sealed

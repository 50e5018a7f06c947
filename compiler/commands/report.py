"""`rung report`: the ladder of a run."""

import argparse
import json
from pathlib import Path

from rich.console import Console

from compiler.commands.mistakes import UserError
from compiler.commands.past_runs import named_run
from compiler.runs.layout import read_jobs
from compiler.terminal.console import console
from compiler.terminal.tables import claims_text, judges_table, ladder_table


def run(arguments: argparse.Namespace) -> int:
    """Prints what the run's report stages have sealed."""
    directory = named_run(arguments)
    folders = _reports(directory)
    if not any(_is_sealed(folder) for folder in folders):
        word = "its report stage is not sealed yet" if folders else "its recipe has no stage of kind `report`"
        raise UserError(f"run {directory.name} has no report: {word}")
    if arguments.json:
        sealed = filter(_is_sealed, folders)
        print(json.dumps([json.loads((folder / "report.json").read_text(encoding="utf-8")) for folder in sealed]))
        return 0
    show_report(console(), directory)
    return 0


def show_report(screen: Console, run: Path) -> None:
    """The ladder, the claims, the judges, and where the whole report lies, of each report that is sealed."""
    for folder in filter(_is_sealed, _reports(run)):
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        screen.print()
        if report["rows"]:
            screen.print(ladder_table(report))
            screen.print(claims_text(report))
        if report["data"].get("examinations"):
            screen.print(judges_table(report))
        screen.print(f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


def _reports(run: Path) -> list[Path]:
    """Where the reports of a run are, or will be."""
    return [Path(job.artifact) for job in read_jobs(run).jobs if job.kind == "report"]


def _is_sealed(report: Path) -> bool:
    return (report / "artifact.json").is_file()

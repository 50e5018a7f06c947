"""`rung logs`: what a stage printed."""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from compiler.commands.mistakes import UserError
from compiler.commands.past_runs import named_run
from compiler.errors import did_you_mean
from compiler.runs.layout import log_folder, read_jobs
from compiler.runs.status import current_status

_EVERY_S = 1.0


def run(arguments: argparse.Namespace) -> int:
    """Prints the logs of one rank, one attempt after the other; with --follow what is added too, to the stage's end."""
    directory = named_run(arguments)
    labels = [job.label for job in read_jobs(directory).jobs]
    if arguments.stage not in labels:
        hint = did_you_mean(arguments.stage, labels)
        raise UserError(f"run {directory.name} has no stage {arguments.stage!r}; {hint}")
    folder = log_folder(directory, arguments.stage)
    if not arguments.follow and not _files(folder, arguments.rank):
        raise UserError(f"stage {arguments.stage} of run {directory.name} has no log of rank {arguments.rank}")
    shown: dict[Path, int] = {}
    _show(folder, arguments.rank, shown)
    while arguments.follow and _goes_on(directory, arguments.stage):
        time.sleep(_EVERY_S)
        _show(folder, arguments.rank, shown)
    return 0


def _files(folder: Path, rank: int) -> list[Path]:
    return sorted(folder.glob(f"*_{rank}_log.out"), key=lambda file: file.stat().st_mtime_ns)


def _show(folder: Path, rank: int, shown: dict[Path, int]) -> None:
    for file in _files(folder, rank):
        for text in _added(file, shown):
            sys.stdout.write(text)
    sys.stdout.flush()


def _added(file: Path, shown: dict[Path, int]) -> Iterator[str]:
    with file.open("rb") as stream:
        stream.seek(shown.get(file, 0))
        yield stream.read().decode("utf-8", errors="replace")
        shown[file] = stream.tell()


def _goes_on(run: Path, label: str) -> bool:
    stage = next(stage for stage in current_status(run).stages if stage.name == label)
    return stage.state in ("waiting", "queued", "running")

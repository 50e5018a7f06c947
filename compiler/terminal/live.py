"""Progress of a local run: a live view where a person waits, plain lines where nobody looks."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from compiler.runs.layout import RunJobs, read_jobs
from compiler.runs.local import Change
from compiler.runs.status import StageStatus, read_stage
from compiler.terminal.tables import progress_words
from compiler.words import duration

_REFRESH_S = 0.25
_PLAIN_EVERY_S = 20.0

Watch = Callable[[Change | None], None]


@contextmanager
def watching(console: Console, run: Path) -> Iterator[Watch]:
    """A `watch` for `run_locally`, live in a terminal, plain lines elsewhere."""
    jobs = read_jobs(run)
    if console.is_terminal:
        with _LiveView(console, run, jobs) as view:
            yield view.watch
    else:
        yield _PlainView(console, run, jobs).watch


class _Progress:
    """What both views keep: which stages run, and how many are done."""

    def __init__(self, run: Path, jobs: RunJobs) -> None:
        self.run = run
        self.total = len([job for job in jobs.jobs if job.action == "run"])
        self.jobs = {job.label: job for job in jobs.jobs}
        self.running: dict[str, float] = {}
        self.done = 0

    def note(self, change: Change) -> None:
        if change.what == "submitted":
            self.running[change.job.label] = time.monotonic()
        else:
            self.running.pop(change.job.label, None)
            self.done += change.what == "sealed"

    def status(self, label: str) -> StageStatus:
        return read_stage(self.run, self.jobs[label])


class _PlainView(_Progress):
    """A line at each change, and a line now and then about what runs."""

    def __init__(self, console: Console, run: Path, jobs: RunJobs) -> None:
        super().__init__(run, jobs)
        self.console = console
        self.told = time.monotonic()

    def watch(self, change: Change | None) -> None:
        if change is None:
            if time.monotonic() - self.told > _PLAIN_EVERY_S:
                for label in self.running:
                    if words := progress_words(self.status(label)):
                        self._say(f"  {label}: {words}")
            return
        begun = self.running.get(change.job.label)
        self.note(change)
        took = f" in {duration(time.monotonic() - begun)}" if begun is not None else ""
        if change.what == "submitted":
            self._say(f"  {change.job.label}: started ({change.job.kind})")
        elif change.what == "sealed":
            self._say(f"[{self.done}/{self.total}] {change.job.label}: sealed{took}")
        elif change.what == "handed over":
            self._say(f"  {change.job.label}: other ranks go on{took and f' after{took[3:]}'}")
        else:
            self._say(f"  {change.job.label}: FAILED{took}: {self.status(change.job.label).message}")

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False)
        self.told = time.monotonic()


class _LiveView(_Progress):
    """A bar for the run, a line for each stage that runs; finished stages scroll above."""

    def __init__(self, console: Console, run: Path, jobs: RunJobs) -> None:
        super().__init__(run, jobs)
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        )
        self.task = self.bar.add_task("stages", total=self.total)
        self.live = Live(console=console, refresh_per_second=8, transient=True)
        self.drawn = 0.0

    def __enter__(self) -> "_LiveView":
        self.live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.live.__exit__(None, None, None)

    def watch(self, change: Change | None) -> None:
        if change is not None:
            begun = self.running.get(change.job.label)
            self.note(change)
            took = duration(time.monotonic() - begun) if begun is not None else ""
            if change.what == "sealed":
                self.live.console.print(Text.assemble(("  done ", "green"), f"{change.job.label}  ", (took, "dim")))
            elif change.what == "ended":
                message = self.status(change.job.label).message
                self.live.console.print(Text.assemble(("FAILED ", "bold red"), f"{change.job.label}  {message}"))
        if change is not None or time.monotonic() - self.drawn > _REFRESH_S:
            self._draw()

    def _draw(self) -> None:
        self.drawn = time.monotonic()
        self.bar.update(self.task, completed=self.done)
        lines = [
            Text.assemble(
                ("    .. ", "cyan"),
                f"{label}  ",
                (duration(time.monotonic() - begun), "dim"),
                f"  {progress_words(self.status(label))}",
            )
            for label, begun in self.running.items()
        ]
        self.live.update(Group(*lines, self.bar))

"""The command. Verbs stop after a pass and print its value; the spec is the only surface, so no per-field flags."""

import argparse
import gc
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

USER_ERROR = 2
INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 (a stage failed), 2 (the user's mistake), 130 (interrupted)."""
    arguments = _parser().parse_args(argv)
    # A compiler makes many small values that all live to the end: at Python's threshold the collector takes a third of
    # the time of a recipe of 10,000 stages, and finds nothing.
    gc.set_threshold(100_000, 50, 100)
    # Imported late, so that --help stays fast.
    from compiler.errors import SpecError

    try:
        return int(arguments.command(arguments))
    except SpecError as error:
        return _show_problems(
            error, as_json=getattr(arguments, "json", False), overrides=getattr(arguments, "overrides", ())
        )
    except UserError as error:
        print(f"rung: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has left (`rung plan | head`); that is no error of ours.
        sys.stderr.close()
        return 0


class UserError(Exception):
    """A mistake on the command line: no such run, no such stage."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rung", description="Compile an LLM training and alignment recipe into jobs, and run them."
    )
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def verb(name: str, command: Any, text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        return sub

    def reads_spec(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("spec", type=Path, metavar="SPEC", help="the recipe, a YAML file")
        sub.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="PATH=VALUE",
            dest="overrides",
            help="override one value of the spec, checked like the file; may be repeated",
        )

    def uses_store(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--store", type=Path, default=Path(".rung"), metavar="DIR", help="where artifacts and runs live (.rung)"
        )

    def uses_cluster(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--cluster", default="laptop", metavar="NAME", help="a file of specs/clusters, or a path (laptop)"
        )

    def has_json(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--json", action="store_true", help="print as JSON")

    check = verb("check", _check, "find every mistake in a spec")
    reads_spec(check)
    has_json(check)
    check.add_argument("--stages", action="store_true", help="list the stages that loops and sweeps unroll to")

    graph = verb("graph", _graph, "draw the stages and what they need")
    reads_spec(graph)
    graph.add_argument("--format", choices=["text", "mermaid"], default="text")

    plan = verb("plan", _plan, "show what will run, what is reused and why, and what it will take")
    render = verb("render", _render, "write the run directory without running anything")
    run = verb("run", _run, "run the spec on this machine")
    for sub in (plan, render, run):
        reads_spec(sub)
        uses_cluster(sub)
        uses_store(sub)
        has_json(sub)
    render.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new directory")

    resume = verb("resume", _resume, "go on with a run that was interrupted or failed")
    status = verb("status", _status, "show the state of a run's stages")
    logs = verb("logs", _logs, "print the log of a stage")
    report = verb("report", _report, "print the ladder of a run and where its HTML report lies")
    for sub in (resume, status, logs, report):
        sub.add_argument(
            "run", metavar="RUN", nargs="?", default="latest", help="a run id, a beginning of one, `latest`"
        )
        uses_store(sub)
    for sub in (resume, status, report):
        has_json(sub)
    logs.add_argument("--stage", required=True, metavar="STAGE")
    logs.add_argument("--rank", type=int, default=0)

    verb("schema", _schema, "print the JSON Schema of specs, for editors")
    errors = verb("errors", _errors, "say what a problem's code means, with an example")
    errors.add_argument("code", nargs="?", metavar="CODE", help="the word in brackets; without it all are listed")
    return parser


def _check(arguments: argparse.Namespace) -> int:
    from compiler.pipeline import compile_graph

    graph = compile_graph(arguments.spec, arguments.overrides)
    labels = list(graph.order())
    if arguments.json:
        print(json.dumps({"name": graph.name, "stages": labels, "problems": []}))
    elif arguments.stages:
        print("\n".join(labels))
    else:
        print(f"{arguments.spec}: {len(labels)} stages, no problems")
    return 0


def _graph(arguments: argparse.Namespace) -> int:
    from compiler.pipeline import compile_graph

    graph = compile_graph(arguments.spec, arguments.overrides)
    if arguments.format == "mermaid":
        from compiler.draw.mermaid import draw_mermaid

        print(draw_mermaid(graph))
    else:
        from compiler.draw.text import draw_text

        print(draw_text(graph))
    return 0


def _plan(arguments: argparse.Namespace) -> int:
    from compiler.pipeline import compile_plan
    from compiler.plan import plan_json

    plan = compile_plan(arguments.spec, arguments.overrides, cluster=arguments.cluster, store=arguments.store)
    if arguments.json:
        print(json.dumps(plan_json(plan)))
        return 0
    from compiler.terminal.tables import plan_summary, plan_table

    console = _console()
    console.print(plan_table(plan))
    console.print(plan_summary(plan))
    return 0


def _render(arguments: argparse.Namespace) -> int:
    from compiler.pipeline import compile_bundle, compile_plan
    from compiler.submit import write_bundle

    if arguments.out.exists():
        raise UserError(f"{arguments.out} exists; give a new directory")
    plan = compile_plan(arguments.spec, arguments.overrides, cluster=arguments.cluster, store=arguments.store)
    bundle = compile_bundle(plan, arguments.spec, store=arguments.store, run=arguments.out)
    write_bundle(bundle, arguments.out)
    if arguments.json:
        print(json.dumps({"directory": str(arguments.out), "files": sorted(bundle.files)}))
    else:
        print("\n".join(str(arguments.out / name) for name in sorted(bundle.files)))
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from compiler.pipeline import compile_plan, create_run
    from compiler.terminal.tables import plan_summary, plan_table

    plan = compile_plan(
        arguments.spec, arguments.overrides, cluster=arguments.cluster, store=arguments.store, runnable=True
    )
    run = create_run(plan, arguments.spec, store=arguments.store)
    if not arguments.json:
        console = _console()
        console.print(plan_table(plan))
        console.print(plan_summary(plan))
        console.print(f"run {run.name}", highlight=False)
    return _go(run, as_json=arguments.json)


def _resume(arguments: argparse.Namespace) -> int:
    return _go(_find_run(arguments), as_json=arguments.json)


def _go(run: Path, *, as_json: bool) -> int:
    """Runs what is not sealed and shows how it ends."""
    from compiler.runs.local import AlreadyRunningError, run_locally
    from compiler.runs.status import read_status
    from compiler.terminal.live import watching

    console = _console(stderr=as_json)
    try:
        with watching(console, run) as watch:
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
        _show_end(console, run, status.state == "done")
    return 0 if status.state == "done" else 1


def _show_end(console: "Console", run: Path, done: bool) -> None:
    from compiler.runs.status import read_status
    from compiler.terminal.tables import status_table

    if done:
        _show_report(console, run)
        return
    console.print(status_table(read_status(run)))
    console.print(f"not finished; when the cause is mended: rung resume {run.name}", highlight=False)


def _status(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from compiler.runs.status import read_status
    from compiler.terminal.tables import status_table

    status = read_status(_find_run(arguments))
    if arguments.json:
        print(json.dumps(asdict(status)))
        return 0
    console = _console()
    console.print(f"{status.run}: {status.state}", highlight=False)
    console.print(status_table(status))
    return 0


def _logs(arguments: argparse.Namespace) -> int:
    from compiler.errors import did_you_mean
    from compiler.runs.layout import log_folder, read_jobs

    run = _find_run(arguments)
    labels = [job.label for job in read_jobs(run).jobs]
    if arguments.stage not in labels:
        raise UserError(f"run {run.name} has no stage {arguments.stage!r}; {did_you_mean(arguments.stage, labels)}")
    files = sorted(
        log_folder(run, arguments.stage).glob(f"*_{arguments.rank}_log.out"), key=lambda file: file.stat().st_mtime_ns
    )
    if not files:
        raise UserError(f"stage {arguments.stage} of run {run.name} has no log of rank {arguments.rank}")
    for file in files:
        sys.stdout.write(file.read_text(encoding="utf-8", errors="replace"))
    return 0


def _report(arguments: argparse.Namespace) -> int:
    run = _find_run(arguments)
    if arguments.json:
        reports = [json.loads((folder / "report.json").read_text(encoding="utf-8")) for folder in _reports(run)]
        print(json.dumps(reports))
        return 0
    _show_report(_console(), run)
    return 0


def _show_report(console: "Console", run: Path) -> None:
    from compiler.terminal.tables import claims_text, ladder_table

    for folder in _reports(run):
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        console.print()
        console.print(ladder_table(report))
        console.print(claims_text(report))
        console.print(f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


def _reports(run: Path) -> list[Path]:
    """The sealed reports of a run; a mistake of the user's if there are none."""
    from compiler.runs.layout import read_jobs

    reports = [Path(job.artifact) for job in read_jobs(run).jobs if job.kind == "report"]
    sealed = [folder for folder in reports if (folder / "artifact.json").is_file()]
    if not sealed:
        word = "its report stage is not sealed yet" if reports else "its recipe has no stage of kind `report`"
        raise UserError(f"run {run.name} has no report: {word}")
    return sealed


def _schema(_: argparse.Namespace) -> int:
    from compiler.schema.json_schema import spec_json_schema

    print(json.dumps(spec_json_schema(), indent=1))
    return 0


def _errors(arguments: argparse.Namespace) -> int:
    from compiler.codes import PAGES
    from compiler.errors import did_you_mean
    from compiler.terminal.codes import list_of_codes, page_text

    if arguments.code is None:
        print(list_of_codes())
        return 0
    code = next((code for code in PAGES if code == arguments.code.strip("[]")), None)
    if code is None:
        raise UserError(
            f"no code {arguments.code!r}; {did_you_mean(arguments.code, PAGES) or 'rung errors lists them'}"
        )
    print(page_text(code))
    return 0


def _find_run(arguments: argparse.Namespace) -> Path:
    from compiler.errors import did_you_mean
    from compiler.runs.layout import find_run

    run = find_run(arguments.store, arguments.run)
    if run is None:
        names = [path.name for path in (arguments.store / "runs").glob("*")]
        raise UserError(f"no run {arguments.run!r} under {arguments.store}; {did_you_mean(arguments.run, names)}")
    return run


def _console(*, stderr: bool = False) -> "Console":
    from rich.console import Console

    console = Console(stderr=stderr)
    # Into a file or a pipe nothing is cut off: lines are as long as the tables need.
    return console if console.is_terminal else Console(stderr=stderr, width=180)


def _show_problems(error: Any, *, as_json: bool, overrides: Sequence[str]) -> int:
    from compiler.terminal.problems import problems_json, show_problems

    if as_json:
        print(json.dumps({"problems": problems_json(error, overrides)}))
    else:
        show_problems(_console(stderr=True), error, overrides)
    return USER_ERROR


if __name__ == "__main__":
    sys.exit(main())

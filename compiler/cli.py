"""The command: its arguments, and how it ends. What each verb does stands in `compiler/commands/<verb>.py`.

Verbs stop after a pass and print its value; the spec is the only surface, so no per-field flags.
"""

import argparse
import errno
import gc
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from compiler.commands.mistakes import INTERRUPTED, USER_ERROR, UserError


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 (a stage failed), 2 (the user's mistake), 130 (interrupted)."""
    arguments = _parser().parse_args(argv)
    # A compiler makes many small values that all live to the end: the collector would take a third of the time of a
    # recipe of 10,000 stages, and find nothing. What stays after compiling turns it on again.
    gc.disable()
    # This and the verb's module are imported late, so that --help stays fast.
    from compiler.errors import SpecError

    try:
        return int(import_module(f"compiler.commands.{arguments.verb}").run(arguments))
    except SpecError as error:
        return _show_problems(
            error, as_json=getattr(arguments, "json", False), overrides=getattr(arguments, "overrides", ())
        )
    except UserError as error:
        print(f"rung: {error}", file=sys.stderr)
        return USER_ERROR
    except BrokenPipeError:
        # The reader of our output has left (`rung plan | head`); that is no error of ours.
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.errno not in _DISKS:
            raise
        print(f"rung: {error.filename}: {error.strerror}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Nothing can be written: no fault of the program's."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rung", description="Compile an LLM training and alignment recipe into jobs, and run them."
    )
    verbs = parser.add_subparsers(title="commands", dest="verb", required=True, metavar="COMMAND")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=text, description=text)

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

    init = verb("init", "write a commented recipe that runs, and its JSON Schema for editors")
    init.add_argument("file", type=Path, nargs="?", default=Path("recipe.yaml"), metavar="FILE", help="(recipe.yaml)")
    like = "laptop (the default), or a shipped recipe: one-node, nemotron4-15b, nemotron4-340b, tiny"
    init.add_argument("--like", default="laptop", metavar="NAME", help=like)

    check = verb("check", "find every mistake in a spec")
    reads_spec(check)
    has_json(check)
    check.add_argument("--stages", action="store_true", help="list the stages that loops and sweeps unroll to")

    graph = verb("graph", "draw the stages and what they need")
    reads_spec(graph)
    uses_cluster(graph)
    uses_store(graph)
    graph.add_argument(
        "--format",
        choices=["text", "mermaid", "dot", "json", "svg", "html"],
        help="by the file's ending, else text; json, svg and html tell of the plan, too",
    )
    graph.add_argument("--out", type=Path, metavar="FILE", help="where to write it; printed where absent")
    graph.add_argument("--most", type=int, metavar="N", help="of svg and html: fold loops until about N boxes are left")

    plan = verb("plan", "show what will run, what is reused and why, and what it will take")
    render = verb("render", "write the run directory without running anything")
    run = verb("run", "run the spec on this machine")
    submit = verb("submit", "submit the spec's stages to Slurm, each as a job")
    for sub in (plan, render, run, submit):
        reads_spec(sub)
        uses_cluster(sub)
        uses_store(sub)
        has_json(sub)
    render.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new directory")

    plan.add_argument("--markdown", action="store_true", help="print as Markdown, for a pull request")
    plan.add_argument("--search", metavar="STAGE", help="instead: the fastest layouts of this stage that fit")

    explain = verb("explain", "say why a stage will run, which written value is behind it, and what it costs again")
    reads_spec(explain)
    explain.add_argument("stage", metavar="STAGE", help="the label of a stage, as `check --stages` lists them")
    diff = verb("diff", "compare two recipes, or a recipe with a past run; ends with 1 if they differ")
    diff.add_argument("old", metavar="A", help="a recipe (.yaml), a run id or `latest`")
    diff.add_argument("new", metavar="B", help="likewise")
    for sub in (explain, diff):
        uses_cluster(sub)
        uses_store(sub)
        has_json(sub)

    resume = verb("resume", "go on with a run that was interrupted or failed")
    cancel = verb("cancel", "cancel a run on Slurm, or a stage of it and what needs it")
    watch = verb("watch", "show the state of a run's stages until it has ended")
    watch.add_argument(
        "--html",
        nargs="?",
        const="",
        metavar="FILE",
        help="as a page, too: written to FILE again and again, or served on 127.0.0.1",
    )
    status = verb("status", "show the state of a run's stages")
    logs = verb("logs", "print the log of a stage")
    report = verb("report", "print the ladder of a run and where its HTML report lies")
    for sub in (resume, cancel, watch, status, logs, report):
        sub.add_argument(
            "run", metavar="RUN", nargs="?", default="latest", help="a run id, a beginning of one, `latest`"
        )
        uses_store(sub)
    for sub in (resume, cancel, status, report):
        has_json(sub)
    cancel.add_argument("--stage", default="", metavar="STAGE", help="(all of them)")
    logs.add_argument("--stage", required=True, metavar="STAGE")
    logs.add_argument("--rank", type=int, default=0)
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the stage has ended")

    probe = verb("probe", "read a live Slurm's partitions and limits into a cluster file")
    probe.add_argument("--here", action="store_true", help="instead: measure this machine's speed, for plans of `run`")
    probe.add_argument("--out", type=Path, metavar="FILE", help="a new file; printed where absent")

    trace = verb("trace", "say where a row comes from: topic, models, judges, scores; and which stages used it")
    trace.add_argument("row", metavar="ROW", help="the id of a row, or a beginning of it")
    uses_store(trace)
    has_json(trace)

    serve = verb("serve", "serve a policy over HTTP, as OpenAI's API")
    serve.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="the folder of an artifact that is a policy")
    serve.add_argument("--name", metavar="NAME", help="as clients call the model (the label of its stage)")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine only)")
    serve.add_argument("--port", type=int, default=8000, help="0 takes a free one (8000)")
    serve.add_argument("--slots", type=int, default=32, metavar="N", help="most rows in the batch at once (32)")
    serve.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32", help="of weights and products (fp32)")
    serve.add_argument("--api-key-env", metavar="VARIABLE", help="environment variable of the key that clients show")

    estimate = verb("estimate", "time and memory of training steps, for a table of layouts")
    estimate.add_argument("table", type=Path, metavar="TABLE", help="a CSV file, a layout each row")
    has_json(estimate)

    schema = verb("schema", "print the JSON Schema of specs, for editors")
    schema.add_argument("--cluster", action="store_true", help="of cluster files instead")
    errors = verb("errors", "say what a problem's code means, with an example")
    errors.add_argument("code", nargs="?", metavar="CODE", help="the word in brackets; without it all are listed")
    return parser


def _show_problems(error: Any, *, as_json: bool, overrides: Sequence[str]) -> int:
    from compiler.terminal.console import console
    from compiler.terminal.problems import problems_json, show_problems

    if as_json:
        print(json.dumps({"problems": problems_json(error, overrides)}))
    else:
        show_problems(console(stderr=True), error, overrides)
    return USER_ERROR


if __name__ == "__main__":
    sys.exit(main())

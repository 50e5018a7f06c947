"""`rung graph`: the picture of the stages and what they need."""

import argparse
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from compiler.commands.mistakes import UserError
from compiler.draw.details import Detail, detail
from compiler.draw.picture import Facts, Picture, picture_of, picture_of_plan
from compiler.pipeline import compile_graph, compile_plan
from compiler.plan import Plan, plan_json
from compiler.review.warnings import warnings
from compiler.runs.layout import manifest_name
from compiler.runs.script import job_scripts

_SUFFIXES = {".txt": "text", ".mmd": "mermaid", ".dot": "dot", ".json": "json", ".svg": "svg", ".html": "html"}
_NEEDS = {"svg": ("igraph",), "html": ("igraph", "bokeh")}


def run(arguments: argparse.Namespace) -> int:
    """Prints the picture, or writes it to a file, in the format asked for."""
    form = arguments.format or _SUFFIXES.get(arguments.out.suffix if arguments.out else ".txt")
    if form is None:
        raise UserError(f"no format ends with {arguments.out.suffix!r}: add `--format`, one of {', '.join(_DRAWN)}")
    require(form)
    text = _DRAWN[form](arguments)
    if arguments.out is None:
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        return 0
    arguments.out.write_text(text, encoding="utf-8")
    print(arguments.out)
    return 0


def require(form: str) -> None:
    """Raises UserError where a package that the format needs is not installed."""
    missing = [name for name in _NEEDS.get(form, ()) if find_spec(name) is None]
    if missing:
        raise UserError(f"{form} pictures need {' and '.join(missing)}: pip install 'rung[pictures]'")


def _text(arguments: argparse.Namespace) -> str:
    from compiler.draw.text import draw_text

    return draw_text(_picture(arguments))


def _mermaid(arguments: argparse.Namespace) -> str:
    from compiler.draw.mermaid import draw_mermaid

    return draw_mermaid(_picture(arguments))


def _dot(arguments: argparse.Namespace) -> str:
    from compiler.draw.dot import draw_dot

    return draw_dot(_picture(arguments))


def _json(arguments: argparse.Namespace) -> str:
    from compiler.draw.data import draw_json

    return draw_json(*picture_of_plan(plan_json(_plan(arguments))))


def _svg(arguments: argparse.Namespace) -> str:
    from compiler.draw.svg import draw_svg

    return draw_svg(*picture_of_plan(plan_json(_plan(arguments))), most=arguments.most)


def _html(arguments: argparse.Namespace) -> str:
    from compiler.draw.page import page, scene_of

    plan = _plan(arguments)
    told = plan_json(plan)
    picture, facts = picture_of_plan(told)
    about = {"cluster": plan.cluster.name, "totals": told["totals"], "warnings": list(warnings(plan))}
    scene = scene_of(picture, facts, most=arguments.most, **about)
    return page(scene, list(_details(plan, facts, arguments.store)))


_DRAWN = {"text": _text, "mermaid": _mermaid, "dot": _dot, "json": _json, "svg": _svg, "html": _html}


def _picture(arguments: argparse.Namespace) -> Picture:
    return picture_of(compile_graph(arguments.spec, arguments.overrides))


def _plan(arguments: argparse.Namespace) -> Plan:
    return compile_plan(arguments.spec, arguments.overrides, cluster=arguments.cluster, store=arguments.store)


def _details(plan: Plan, facts: Facts, store: Path) -> Iterator[Detail]:
    """Of each stage; the scripts are those of a run that is not there yet, `RUN`."""
    run = store.resolve() / "runs" / "RUN"
    slurm = plan.cluster.executor == "slurm"
    for stage in plan.stages:
        by_hand = f"python -P -m runtime {run / manifest_name(stage.label)}"
        script = "\n".join(job_scripts(stage, plan, run)) if slurm else by_hand
        yield detail(facts[stage.label], stage.stage.model_dump(mode="json", exclude_unset=True), script)

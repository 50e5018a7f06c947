"""One recipe says every word of the language: what it does not use, nobody has compiled."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from compiler.cli import main
from compiler.errors import SpecError
from compiler.pipeline import compile_bundle, compile_graph, compile_plan
from compiler.schema.base import Record
from compiler.stages import STAGES, Stage

WHOLE = Path(__file__).parent / "recipes" / "whole_language.yaml"


def kinds() -> set[type[Record]]:
    """Every record that is told apart from others by its `kind`."""

    def below(record: type[Record]) -> Iterator[type[Record]]:
        for one in record.__subclasses__():
            if one.__module__.startswith("compiler."):
                yield one
                yield from below(one)

    return {one for one in below(Record) if "kind" in one.model_fields and one is not Stage}


def used(value: object) -> Iterator[type[Record]]:
    """The records that a value is made of."""
    if isinstance(value, Record):
        yield type(value)
        for name in type(value).model_fields:
            yield from used(getattr(value, name))
    elif isinstance(value, dict):
        for part in value.values():
            yield from used(part)
    elif isinstance(value, tuple):
        for part in value:
            yield from used(part)


def test_the_recipe_uses_every_kind_there_is() -> None:
    graph = compile_graph(WHOLE, [])
    found = {record for label in graph.order() for record in used(graph.stage(label).stage)}
    told_apart = {one for one in kinds() if one.model_fields["kind"].annotation is not str}
    missing = {
        one.__name__
        for one in told_apart - found
        if one.__module__.startswith(("compiler.schema", "compiler.stages")) and not one.__module__.endswith(".slurm")
    }
    assert not missing
    assert {type(graph.stage(label).stage) for label in graph.order()} == set(STAGES.values())


def test_all_of_it_is_planned_and_rendered(tmp_path: Path) -> None:
    plan = compile_plan(WHOLE, [], cluster="laptop", store=tmp_path)
    bundle = compile_bundle(plan, WHOLE, store=tmp_path, run=tmp_path / "runs" / "one")
    manifests = [json.loads(text) for name, text in bundle.files.items() if name.startswith("manifests/")]
    assert len(manifests) == len(plan.to_run)
    assert {manifest["stage"]["kind"] for manifest in manifests} == set(STAGES)


@pytest.mark.parametrize("form", ["text", "mermaid"])
def test_all_of_it_is_drawn(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", str(WHOLE), "--format", form]) == 0
    assert "given_away" in capsys.readouterr().out


def test_a_problem_of_one_round_says_which(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    world = WHOLE.with_name("world.yaml").read_text(encoding="utf-8")
    recipe.write_text(
        f"rung: 1\nname: rounds\nmatrix: {{params.batch: [16, 30]}}\n{world}"
        "  tuned:\n    kind: sft\n    init: sft\n    data: web\n    epochs: 1\n    global_batch_size: ${params.batch}\n"
        "    learning_rate: *rate\n    optimizer: adam\n    precision: fp32\n    seed: 1\n"
        "    placement: {layout: {dp: 4}}\n".replace(
            "*rate", "{shape: constant, start: 1e-3, end: 1e-3, warmup_steps: 0}"
        ),
        encoding="utf-8",
    )
    recipe.write_text(recipe.read_text().replace("params: {seed: 1,", "params: {batch: 16, seed: 1,"))
    with pytest.raises(SpecError) as error:
        compile_graph(recipe, [])
    (problem,) = error.value.problems
    assert "(in tuned@batch=30)" in problem.message

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from compiler.cli import main
from compiler.load import load_tree
from compiler.reading.tree import plain
from compiler.stages import STAGES
from compiler.terminal.json_schema import cluster_json_schema, spec_json_schema

_ROOT = Path(__file__).parents[2]
_GOOD = [
    *(Path(__file__).parent / "recipes").glob("*.yaml"),
    *(_ROOT / "specs" / "experiments").glob("*.yaml"),
    *(_ROOT / "specs" / "models").glob("*.yaml"),
    *(_ROOT / "tests" / "recipes").glob("*.yaml"),
]
_CLUSTERS = sorted((_ROOT / "specs" / "clusters").glob("*.yaml"))
_BROKEN = sorted((Path(__file__).parent / "broken").glob("*.yaml"))
_CODE = re.compile(r"# expect (?:\S+:)?\d+:\d+ (\S+)")
_SCHEMA = Draft202012Validator(spec_json_schema())


def as_json(file: Path) -> Any:
    return json.loads(json.dumps(plain(load_tree(file))))


def small() -> Any:
    return as_json(Path(__file__).parent / "recipes" / "small.yaml")


def errors(spec: Any) -> list[list[str | int]]:
    return [list(error.absolute_path) for error in _SCHEMA.iter_errors(spec)]


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(spec_json_schema())
    Draft202012Validator.check_schema(cluster_json_schema())


@pytest.mark.parametrize("file", _GOOD, ids=lambda path: path.stem)
def test_good_specs_are_good_for_editors(file: Path) -> None:
    assert errors(as_json(file)) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("rung", 2),
        ("pipline", {}),
        ("pipeline.sft.epochs", -1),
        ("pipeline.sft.epochs", 1.5),
        ("pipeline.sft.epocs", 1),
        ("pipeline.sft.kind", "sftt"),
        ("pipeline.sft.optimizer", 3),
        ("pipeline.sft.placement", {"layout": {"ddp": 2}}),
        ("pipeline.rpo.repeat", 0),
        ("pipeline.rpo.stages.train.loss.kind", "kto"),
        ("pipeline.rpo.stages.train.loss.beta", True),
        ("pipeline.ladder.over", []),
        ("models", {"tiny": {"num_layers": 3}}),
        ("judges.truth", {"kind": "ground_truth", "gate": 1}),
    ],
)
def test_mistakes_are_seen_in_the_editor(path: str, value: Any) -> None:
    spec = small()
    *parents, last = path.split(".")
    at = spec
    for part in parents:
        at = at[part]
    at[last] = value
    assert errors(spec)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("pipeline.sft.epochs", "${params.epochs}"),
        ("pipeline.sft.global_batch_size", "4k"),
        ("pipeline.rpo.stages.train.loss.sft_average", "${params.average}"),
        ("pipeline.rpo.stages.train.loss.distance", "${params.distance}"),
        ("pipeline.base.model", {"extends": "small", "num_layers": 2}),
        ("pipeline.sft.placement", {"threads": 2}),
    ],
)
def test_what_the_compiler_takes_editors_take(path: str, value: Any) -> None:
    spec = small()
    *parents, last = path.split(".")
    at = spec
    for part in parents:
        at = at[part]
    at[last] = value
    assert errors(spec) == []


def test_every_kind_has_its_fields_described() -> None:
    schema = spec_json_schema()
    for kind in STAGES:
        stage = schema["$defs"][f"stage:{kind}"]
        assert stage["description"]
        assert stage["properties"]["kind"] == {"const": kind, "type": "string"}
        assert "placement" in stage["properties"]


def undescribed(schema: Any, path: str = "") -> Iterator[str]:
    """Every property that an editor could say nothing of; `kind` speaks for itself."""
    if isinstance(schema, list):
        for part in schema:
            yield from undescribed(part, path)
    elif isinstance(schema, dict):
        properties = schema.get("properties")
        for name, part in properties.items() if isinstance(properties, dict) else ():
            if name != "kind" and isinstance(part, dict) and not part.get("description"):
                yield f"{path}/{name}"
        for name, part in schema.items():
            yield from undescribed(part, f"{path}/{name}")


def test_every_field_has_a_description() -> None:
    assert list(undescribed(spec_json_schema())) == []
    assert list(undescribed(cluster_json_schema())) == []


@pytest.mark.parametrize(
    ("path", "value", "at", "rule"),
    [
        ("pipeline.sft.kind", "sfft", ["pipeline", "sft", "kind"], "enum"),
        ("pipeline.sft", {"init": "base"}, ["pipeline", "sft"], "required"),
        ("pipeline.rpo.stages.train.loss.kind", "kto", ["pipeline", "rpo", "stages", "train", "loss", "kind"], "enum"),
        ("pipeline.rpo.stages.train.kind", "prefers", ["pipeline", "rpo", "stages", "train", "kind"], "enum"),
        ("pipeline.sft.epochs", "one", ["pipeline", "sft", "epochs"], "pattern"),
        ("pipeline.sft.precision", {"dtype": "fp31"}, ["pipeline", "sft", "precision", "dtype"], "anyOf"),
        ("pipeline.base.init", 3, ["pipeline", "base", "init"], "anyOf"),
        ("judges.truth.kind", "ground", ["judges", "truth", "kind"], "enum"),
    ],
)
def test_one_mistake_is_marked_once(path: str, value: Any, at: list[str | int], rule: str) -> None:
    spec = small()
    *parents, last = path.split(".")
    inside = spec
    for part in parents:
        inside = inside[part]
    inside[last] = value
    assert [(list(error.absolute_path), error.validator) for error in _SCHEMA.iter_errors(spec)] == [(at, rule)]


_SEEN_LATER = {
    "loop_forgets_to_yield": "what is carried and what is yielded are compared",
    "loop_over_other_variables": "rounds are compared with each other",
    "loop_yields_uncarried": "what is carried and what is yielded are compared",
    "missing_name": "a file that others use has no name",
    "wrong_judge_kind": "the judge stands under a name, in another place",
}
"""Mistakes in keys, kinds and words that no schema can see."""


@pytest.mark.parametrize("file", _BROKEN, ids=lambda path: path.stem)
def test_what_a_schema_can_see_of_the_broken_specs_it_sees(file: Path) -> None:
    codes = set(_CODE.findall(file.read_text(encoding="utf-8")))
    if codes & {"unknown-key", "unknown-kind", "wrong-choice", "missing-key"}:
        assert bool(errors(as_json(file))) != (file.stem in _SEEN_LATER)


@pytest.mark.parametrize("file", _CLUSTERS, ids=lambda path: path.stem)
def test_cluster_files_are_good_for_editors(file: Path) -> None:
    validator = Draft202012Validator(cluster_json_schema())
    cluster = as_json(file)
    assert not list(validator.iter_errors(cluster))
    assert list(validator.iter_errors({**cluster, "excutor": "local"}))
    assert list(validator.iter_errors({**cluster, "cores": "${params.cores}"})), "nothing varies in a cluster file"


def test_the_command_prints_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == spec_json_schema()
    assert main(["schema", "--cluster"]) == 0
    assert json.loads(capsys.readouterr().out) == cluster_json_schema()

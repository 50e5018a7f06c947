from collections.abc import Sequence
from pathlib import Path

import pytest

from compiler.errors import Problem, SpecError
from compiler.experiment import Experiment, LoopEntry
from compiler.load import load
from compiler.schema.model import ModelSpec, Precision
from compiler.validate import read_record, validate

_RECIPES = Path(__file__).parent / "recipes"


def check(folder: Path, text: str, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment of a spec that stands on `recipes/world.yaml`."""
    file = folder / "spec.yaml"
    file.write_text(f"rung: 1\nname: test\nuse: [{_RECIPES}/world.yaml]\n{text}", encoding="utf-8")
    return validate(load(file, overrides))


def problems(folder: Path, text: str, overrides: Sequence[str] = ()) -> Sequence[Problem]:
    with pytest.raises(SpecError) as error:
        check(folder, text, overrides)
    return error.value.problems


def places(found: Sequence[Problem]) -> list[tuple[str, int, int, str]]:
    return [(Path(p.span.file).name, p.span.line, p.span.column, p.code) for p in found if p.span]


def test_good_recipes_are_good() -> None:
    experiment = validate(load(_RECIPES / "small.yaml"))
    assert experiment.name == "small"
    assert [axis.param for axis in experiment.matrix] == ["params.beta", "params.seed"]
    assert [entry.name for entry in experiment.pipeline if isinstance(entry, LoopEntry)] == ["rpo", "ladder"]


def test_problems_of_every_part_are_told_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "splitz: {}\n"
        "models: {mine: {extends: smal}}\n"
        "params: {more: {}}\n"
        "matrix: {params.none: [1]}\n"
        "pipeline:\n"
        "  web2: {kind: annotate, prompts: web_prompts, error_rate: 2, seed: -1}\n"
        "  loop: {repeat: 0, stages: {x: {kind: anotate}}}\n",
    )
    assert [code for *_, code in places(found)] == [
        "unknown-key", "unknown-name", "wrong-type", "unknown-variable", "out-of-range", "out-of-range", "out-of-range",
        "unknown-kind",
    ]  # fmt: skip


def test_a_param_has_its_value_and_type(tmp_path: Path) -> None:
    check(tmp_path, "pipeline: {w: {kind: annotate, prompts: web_prompts, error_rate: '${params.beta}', seed: 1}}\n")
    found = problems(
        tmp_path,
        "params: {who: '5'}\n"
        "pipeline: {w: {kind: annotate, prompts: web_prompts, error_rate: '${params.who}', seed: 1}}\n",
    )
    assert [p.code for p in found] == ["wrong-type"]


def test_a_wrong_param_is_blamed_where_it_was_written_and_used(tmp_path: Path) -> None:
    (found,) = problems(
        tmp_path,
        "params: {share: 7}\n"
        "pipeline:\n"
        "  a: {kind: annotate, prompts: web_prompts, error_rate: '${params.share}', seed: 1}\n"
        "  b: {kind: annotate, prompts: web_prompts, error_rate: '${params.share}', seed: 1}\n",
    )
    assert found.span is not None
    assert (found.span.line, found.span.column) == (4, 17)
    assert (found.related[0][0].line, found.related[0][0].column) == (6, 57)


def test_an_override_is_checked_like_the_file(tmp_path: Path) -> None:
    text = "pipeline: {w: {kind: annotate, prompts: web_prompts, error_rate: '${params.beta}', seed: 1}}\n"
    check(tmp_path, text, ["params.beta=0.5"])
    assert places(problems(tmp_path, text, ["params.beta=7"])) == [("--set", 1, 13, "out-of-range")]
    assert places(problems(tmp_path, text, ["pipeline.w.sede=7"])) == [("--set", 1, 1, "unknown-key")]


@pytest.mark.parametrize(
    ("error_rate", "words"),
    [
        ("-1", "is -1, but must be at least 0"),
        ("1.5", "is 1.5, but must be at most 1"),
        ("high", "is 'high', but must be a number"),
        ("", "is empty, but must be a number"),
        ("[0.5]", "is a list, but must be a number"),
        ("{a: 1}", "is a mapping, but must be a number"),
        ("true", "is true, but must be a number"),
        (".nan", "is .nan, but must be a finite number"),
    ],
)
def test_sentences_say_what_is_and_what_must_be(tmp_path: Path, error_rate: str, words: str) -> None:
    text = f"pipeline:\n  w: {{kind: annotate, prompts: web_prompts, error_rate: {error_rate}, seed: 1}}\n"
    (found,) = problems(tmp_path, text)
    assert found.message == words


@pytest.mark.parametrize(
    ("count", "good"),
    [
        ("8k", True),
        ("1.5M", True),
        ("10", True),
        ("0", False),
        ("0k", False),
        ("1.5", False),
        ("8 T", False),
        ("-3", False),
        ("9" * 90, True),
        ("true", False),
    ],
)
def test_counts(tmp_path: Path, count: str, good: bool) -> None:
    text = f"pipeline:\n  m: {{kind: mix, rows: dialogues, data: {{web: 1}}, count: {count}, seed: 1}}\n"
    if good:
        check(tmp_path, text)
    else:
        assert [p.path for p in problems(tmp_path, text)] == ["pipeline.m.count"]


def test_union_tags_of_pydantic_do_not_hide_the_place(tmp_path: Path) -> None:
    # `kind: self_prompted` is a tag in pydantic's loc, and here also the name of a key.
    text = (
        "generators:\n"
        "  g: {kind: self_prompted, policy: sft, families: {sort: -1}, temperature: 1, max_attempts: 1,\n"
        "      self_prompted: {families: {sort: 1}}}\n"
    )
    assert places(problems(tmp_path, text)) == [
        ("spec.yaml", 5, 58, "out-of-range"),
        ("spec.yaml", 6, 7, "unknown-key"),
    ]


def test_extended_models_keep_the_places_of_their_keys(tmp_path: Path) -> None:
    text = "models:\n  a: {extends: small, num_layers: 0}\n  b: {extends: a, hidden_size: 32}\n"
    assert places(problems(tmp_path, text)) == [("spec.yaml", 5, 35, "out-of-range")]


def test_a_model_may_be_extended_where_it_is_used(tmp_path: Path) -> None:
    check(tmp_path, "", ["pipeline.base.model={extends: small, num_layers: 2}"])
    found = problems(tmp_path, "", ["pipeline.base.model={extends: small, num_layers: none}"])
    assert places(found) == [("--set", 1, 50, "wrong-type")]


def test_a_mistake_in_a_loop_is_told_once_and_where_its_value_was_written(tmp_path: Path) -> None:
    text = """\
pipeline:
  outer:
    over: [{rate: 0.1, n: 1}, {rate: 0.2, n: 2}, {rate: 3, n: 3}]
    stages:
      inner:
        over: [{count: 1}, {count: 0}]
        stages:
          p: {kind: prompts, generator: all, count: "${count}", split: by_prompt, parts: [sft], seed: "${round}"}
          w: {kind: annotate, prompts: p, error_rate: "${rate}", seed: "${n}", sede: 1}
"""
    found = places(problems(tmp_path, text))
    assert found == [
        ("spec.yaml", 6, 57, "out-of-range"),
        ("spec.yaml", 9, 36, "out-of-range"),
        ("spec.yaml", 12, 80, "unknown-key"),
    ]


def test_variables_of_outer_loops_cannot_be_hidden(tmp_path: Path) -> None:
    text = """\
pipeline:
  outer:
    over: [{x: 1}]
    stages:
      inner:
        over: [{x: 2}]
        stages: {w: {kind: annotate, prompts: web_prompts, error_rate: 0, seed: "${x}"}}
"""
    assert places(problems(tmp_path, text)) == [("spec.yaml", 9, 17, "name-clash")]


def test_a_variable_may_stand_in_a_key(tmp_path: Path) -> None:
    check(
        tmp_path,
        "params: {source: web}\n"
        "pipeline: {m: {kind: mix, rows: dialogues, data: {'${params.source}': 1}, count: 1, seed: 1}}\n",
    )
    found = problems(
        tmp_path,
        "params: {source: web}\n"
        "pipeline: {m: {kind: mix, rows: dialogues, data: {'${params.source}': 1, web: 2}, count: 1, seed: 1}}\n",
    )
    assert [p.code for p in found] == ["duplicate-key"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{a: 1}", "is a mapping, but must be the name of a stage"),
        ("5", "is 5, but must be the name of a stage"),
        ("[x, 5]", "is 5, but must be the name of a stage"),
        ("[{}]", "is a mapping, but must be the name of a stage"),
    ],
)
def test_a_union_of_shapes_gives_one_problem_at_the_deepest_place(tmp_path: Path, row: str, words: str) -> None:
    (found,) = problems(tmp_path, f"pipeline:\n  r: {{kind: report, title: x, rows: {{Base: {row}}}}}\n")
    assert found.message == words


def test_a_record_file_is_told_like_a_spec(tmp_path: Path) -> None:
    (tmp_path / "precision.yaml").write_text("dtype: bf16\n")
    assert read_record(tmp_path / "precision.yaml", Precision) == Precision(dtype="bf16")
    (tmp_path / "model.yaml").write_text("num_layers: 2\nhiden_size: 4\n")
    with pytest.raises(SpecError) as error:
        read_record(tmp_path / "model.yaml", ModelSpec)
    assert {(p.span.line, p.code) for p in error.value.problems if p.span} == {(1, "missing-key"), (2, "unknown-key")}

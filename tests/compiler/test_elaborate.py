import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from compiler.elaborate import MOST_STAGES, Program, ProgramStage, elaborate
from compiler.errors import SpecError
from compiler.graph import build_graph
from compiler.load import load
from compiler.stages.refs import find_refs
from compiler.validate import validate

_RECIPES = Path(__file__).parent / "recipes"


def program(folder: Path, text: str, overrides: Sequence[str] = ()) -> Program:
    file = folder / "spec.yaml"
    file.write_text(f"rung: 1\nname: test\nuse: [{_RECIPES}/world.yaml]\n{text}", encoding="utf-8")
    return elaborate(validate(load(file, overrides)))


def refs(stage: ProgramStage) -> Mapping[str, str]:
    return {ref.path: ref.label for ref in stage.refs}


def stages(of: Program) -> Mapping[str, ProgramStage]:
    return {stage.label: stage for stage in of.stages}


_LOOP = """\
pipeline:
  rpo:
    repeat: 3
    carry: {data: web}
    stages:
      more: {kind: mix, rows: dialogues, data: {"${data}": 1, web: 1}, count: 10, seed: "${round}"}
      all: {kind: mix, rows: dialogues, data: {more: 1}, count: 5, seed: 1}
    yield: {data: all}
  last: {kind: mix, rows: dialogues, data: {rpo.data: 1, rpo.1.more: 2}, count: 1, seed: 1}
"""


def test_rounds_are_stages_whose_names_mean_their_own_round(tmp_path: Path) -> None:
    found = stages(program(tmp_path, _LOOP.replace('{"${data}": 1, web: 1}', '{"${data}": 1}')))
    assert [label for label in found if label.startswith("rpo")] == [
        "rpo.1.more", "rpo.1.all", "rpo.2.more", "rpo.2.all", "rpo.3.more", "rpo.3.all",
    ]  # fmt: skip
    assert refs(found["rpo.1.more"]) == {"data.web": "web"}
    assert refs(found["rpo.2.more"]) == {"data.rpo.1.all": "rpo.1.all"}
    assert refs(found["rpo.3.all"]) == {"data.more": "rpo.3.more"}
    assert [found[f"rpo.{number}.more"].stage.model_dump()["seed"] for number in (1, 2, 3)] == [1, 2, 3]


def test_outside_names_the_yield_or_a_round(tmp_path: Path) -> None:
    found = stages(program(tmp_path, _LOOP.replace('{"${data}": 1, web: 1}', '{"${data}": 1}')))
    assert refs(found["last"]) == {"data.rpo.data": "rpo.3.all", "data.rpo.1.more": "rpo.1.more"}
    assert set(found["last"].stage.model_dump()["data"]) == {"rpo.3.all", "rpo.1.more"}


def test_one_stage_under_two_names_in_a_blend_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        program(tmp_path, _LOOP)
    assert [p.code for p in error.value.problems] == ["duplicate-key"]


def test_a_loop_may_be_written_after_what_uses_it(tmp_path: Path) -> None:
    text = """\
pipeline:
  last: {kind: mix, rows: dialogues, data: {b.x: 1}, count: 1, seed: 1}
  b: {repeat: 2, carry: {x: a.x}, yield: {x: m},
    stages: {m: {kind: mix, rows: dialogues, data: {"${x}": 1}, count: 1, seed: 1}}}
  a: {repeat: 2, carry: {x: web}, yield: {x: m},
    stages: {m: {kind: mix, rows: dialogues, data: {"${x}": 1}, count: 1, seed: 1}}}
"""
    found = stages(program(tmp_path, text))
    assert refs(found["last"]) == {"data.b.x": "b.2.m"}
    assert refs(found["b.1.m"]) == {"data.a.2.m": "a.2.m"}


def test_loops_nest(tmp_path: Path) -> None:
    text = """\
pipeline:
  outer:
    over: [{start: web, n: 1}, {start: web, n: 2}]
    carry: {kept: web}
    stages:
      first: {kind: mix, rows: dialogues, data: {"${kept}": 1}, count: "${n}", seed: "${round}"}
      inner:
        repeat: "${n}"
        carry: {x: first}
        stages:
          m: {kind: mix, rows: dialogues, data: {"${x}": 1}, count: 1, seed: "${round}"}
        yield: {x: m}
      end: {kind: mix, rows: dialogues, data: {inner.x: 1}, count: 1, seed: 1}
    yield: {kept: inner.x}
  last: {kind: mix, rows: dialogues, data: {outer.kept: 1, outer.1.inner.1.m: 1}, count: 1, seed: 1}
"""
    found = stages(program(tmp_path, text))
    assert refs(found["outer.2.inner.1.m"]) == {"data.outer.2.first": "outer.2.first"}
    assert refs(found["outer.2.inner.2.m"]) == {"data.outer.2.inner.1.m": "outer.2.inner.1.m"}
    assert refs(found["outer.2.end"]) == {"data.inner.x": "outer.2.inner.2.m"}
    assert refs(found["outer.2.first"]) == {"data.outer.1.inner.1.m": "outer.1.inner.1.m"}
    assert refs(found["last"]) == {
        "data.outer.kept": "outer.2.inner.2.m",
        "data.outer.1.inner.1.m": "outer.1.inner.1.m",
    }
    assert "outer.1.inner.2.m" not in found


def test_a_sweep_has_the_pipeline_once_a_point() -> None:
    found = stages(elaborate(validate(load(_RECIPES / "small.yaml"))))
    points = {label.partition("@")[2] for label in found if label != "report"}
    assert points == {"beta=0.1,seed=1", "beta=0.1,seed=2", "beta=1e-2,seed=1", "beta=1e-2,seed=2"}
    train = found["rpo.2.train@beta=1e-2,seed=2"]
    assert train.stage.model_dump()["loss"]["beta"] == 0.01
    assert train.stage.model_dump()["seed"] == 2
    assert refs(train)["init"] == "rpo.1.train@beta=1e-2,seed=2"


def test_a_report_gathers_every_point() -> None:
    found = elaborate(validate(load(_RECIPES / "small.yaml")))
    report = found.stages[-1]
    assert report.label == "report"
    rows = report.stage.model_dump()["rows"]
    assert rows["Base"] == tuple(f"base_exam@beta={beta},seed={seed}" for beta in ("0.1", "1e-2") for seed in (1, 2))
    assert {len(labels) for labels in rows.values()} == {4}


def test_without_a_sweep_labels_are_plain(tmp_path: Path) -> None:
    assert not any("@" in stage.label for stage in program(tmp_path, "").stages)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ("[a, b/c]", ["who=a", "who=value2"]),
        ("['', '..']", ["who=value1", "who=.."]),
        ("[true, 1e-4]", ["who=true", "who=1e-4"]),
    ],
)
def test_labels_can_be_file_names(tmp_path: Path, values: str, labels: list[str]) -> None:
    found = program(tmp_path, f"params: {{who: x}}\nmatrix: {{params.who: {values}}}\n")
    assert list(dict.fromkeys(stage.label.partition("@")[2] for stage in found.stages)) == labels


def test_every_ref_of_a_record_is_known_with_its_place() -> None:
    found = elaborate(validate(load(_RECIPES / "small.yaml")))
    for stage in found.stages:
        assert sorted(use.label for use in find_refs(stage.stage)) == sorted(ref.label for ref in stage.refs), (
            stage.label
        )
        assert {use.accepts for use in find_refs(stage.stage)} == {",".join(ref.accepts) for ref in stage.refs}


def test_fields_have_places_even_through_pieces_and_params() -> None:
    found = stages(elaborate(validate(load(_RECIPES / "small.yaml"))))
    spans = found["rpo.1.train@beta=1e-2,seed=1"].spans
    lines = (_RECIPES / "small.yaml").read_text().splitlines()

    def word(path: str) -> str:
        span = spans[path]
        return re.split(r"[,}\]]", lines[span.line - 1][span.column - 1 :])[0]

    assert word("loss.beta") == "1e-2"
    assert word("loss.eta") == "0.7"
    assert word("optimizer.beta2") == "0.98"
    assert word("seed") == "1"


def test_too_many_stages_are_refused_before_they_are_made(tmp_path: Path) -> None:
    many = ", ".join(str(number) for number in range(1000))
    matrix = f"params: {{a: 0, b: 0, c: 0}}\nmatrix: {{params.a: [{many}], params.b: [{many}], params.c: [{many}]}}\n"
    with pytest.raises(SpecError) as error:
        program(tmp_path, matrix)
    assert [p.code for p in error.value.problems] == ["too-large"]


def test_rounds_that_only_a_variable_tells_are_limited_too(tmp_path: Path) -> None:
    text = """\
pipeline:
  outer:
    over: [{n: 1000}]
    stages:
      a:
        repeat: "${n}"
        stages: {b: {repeat: "${n}", stages: {m: {kind: mix, rows: dialogues, data: {web: 1}, count: 1, seed: 1}}}}
"""
    with pytest.raises(SpecError) as error:
        program(tmp_path, text)
    assert [p.code for p in error.value.problems] == ["too-large"]
    assert f"{MOST_STAGES:,}" in error.value.problems[0].message


def test_loops_that_carry_each_other_in_a_circle(tmp_path: Path) -> None:
    text = """\
pipeline:
  a: {repeat: 2, carry: {x: b.x}, yield: {x: "${x}"},
    stages: {m: {kind: mix, rows: dialogues, data: {"${x}": 1}, count: 1, seed: 1}}}
  b: {repeat: 2, carry: {x: a.x}, yield: {x: "${x}"},
    stages: {m: {kind: mix, rows: dialogues, data: {"${x}": 1}, count: 1, seed: 1}}}
"""
    with pytest.raises(SpecError) as error:
        build_graph(program(tmp_path, text))
    assert {p.code for p in error.value.problems} == {"cycle"}


def test_a_long_chain_of_loops_written_backwards(tmp_path: Path) -> None:
    body = "{m: {kind: mix, rows: dialogues, data: {'${x}': 1}, count: 1, seed: 1}}"
    starts = {number: f"l{number - 1}.x" if number else "web" for number in reversed(range(500))}
    text = "pipeline:\n" + "".join(
        f"  l{number}: {{repeat: 1, carry: {{x: {start}}}, stages: {body}, yield: {{x: m}}}}\n"
        for number, start in starts.items()
    )
    found = stages(program(tmp_path, text))
    assert refs(found["l499.1.m"]) == {"data.l498.1.m": "l498.1.m"}

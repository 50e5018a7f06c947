import math
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from compiler.errors import SpecError
from compiler.load import load, load_tree
from compiler.reading.scalars import read_scalar
from compiler.reading.tree import FieldSpans, find, plain


def write(folder: Path, text: str, name: str = "spec.yaml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def problems(file: Path, overrides: Sequence[str] = ()) -> list[tuple[int, int, str]]:
    with pytest.raises(SpecError) as error:
        load(file, overrides)
    return [(p.span.line, p.span.column, p.code) for p in error.value.problems if p.span]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4), ("1E3", 1000.0), ("1.", 1.0), (".5", 0.5), ("-0.5", -0.5), ("+7", 7), ("007", 7), ("-3", -3),
        ("0x1F", 31), ("0o17", 15), ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("Null", None),
        ("8T", "8T"), ("1_000", "1_000"), ("1:30", "1:30"), ("2024-01-01", "2024-01-01"), ("-", "-"), (".", "."),
        ("1e", "1e"), ("0b1", "0b1"), (".inf", math.inf), ("-.inf", -math.inf), ("1.2.3", "1.2.3"),
        ("\u0661", "\u0661"),
    ],
)  # fmt: skip
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    assert read_scalar(text) == value
    assert type(read_scalar(text)) is type(value)


def test_nan_is_a_number() -> None:
    assert math.isnan(float(str(read_scalar(".nan"))))


def test_quoted_values_stay_text(tmp_path: Path) -> None:
    assert plain(load_tree(write(tmp_path, "a: '1'\nb: \"true\"\nc: |\n  1\n"))) == {"a": "1", "b": "true", "c": "1\n"}


def test_every_key_and_value_has_its_place(tmp_path: Path) -> None:
    root = load_tree(write(tmp_path, "a: 1\nb:\n  c: [x, {d.e: 2}]\n"))
    spans = FieldSpans(root)
    places = {path: (spans[path].line, spans[path].column) for path in spans}
    assert places == {"a": (1, 4), "b": (3, 3), "b.c": (3, 6), "b.c.0": (3, 7), "b.c.1": (3, 10), "b.c.1.d.e": (3, 16)}
    assert (spans.key("b.c.1.d.e").line, spans.key("b.c.1.d.e").column) == (3, 11)


def test_an_alias_stands_for_its_anchor(tmp_path: Path) -> None:
    assert plain(load_tree(write(tmp_path, "a: &x {b: 1}\nc: [*x, *x]\n"))) == {"a": {"b": 1}, "c": ({"b": 1},) * 2}


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (bomb(30), "too-large"),
        ("a: &a [*a]", "cycle"),
        ("[" * 5000, "too-large"),
        ("a: " + "{b: " * 100 + "1" + "}" * 100, "too-large"),
        ("a: " + "9" * 10_000, "out-of-range"),
        ("\n".join("- " * 200 for _ in range(3)), "too-large"),
    ],
    ids=["alias bomb", "alias in itself", "open lists", "deep mappings", "long number", "deep sequences"],
)
def test_hostile_text_is_refused_quickly(tmp_path: Path, text: str, code: str) -> None:
    start = time.process_time()
    assert {found for _, _, found in problems(write(tmp_path, text))} <= {code, "not-yaml"}
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2\n", (2, 1, "duplicate-key")),
        ("a: {b: 1, 'b': 2}\n", (1, 11, "duplicate-key")),
        ("a: !!str 5\n", (1, 4, "tag")),
        ("a: !mine {b: 1}\n", (1, 4, "tag")),
        ("a: {<<: {b: 1}}\n", (1, 5, "merge-key")),
        ("? [a, b]\n: 1\n", (1, 3, "bad-key")),
        ("a: *x\n", (1, 4, "unknown-anchor")),
        ("a: 1\n---\nb: 1\n", (2, 1, "not-yaml")),
        ('a: "\\ud800"\n', (1, 7, "not-yaml")),
        ("just text\n", (1, 1, "wrong-type")),
        ("", (1, 1, "wrong-type")),
        ("~", (1, 1, "wrong-type")),
        ("a: b: c\n", (1, 5, "not-yaml")),
        ("a: 'open\n", (1, 9, "not-yaml")),
        ("a: x\x07y\n", (1, 5, "not-yaml")),
        ("a: {model: ${policy}}\n", (1, 13, "not-yaml")),
    ],
)
def test_what_is_not_read(tmp_path: Path, text: str, expected: tuple[int, int, str]) -> None:
    assert problems(write(tmp_path, text)) == [expected]


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    found = problems(write(tmp_path, "a: 1\na: 2\nb: !x 1\nc: *d\nuse: [gone.yaml]\n"))
    assert [code for _, _, code in found] == ["duplicate-key", "tag", "unknown-anchor", "missing-file"]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_bytes(b"\xef\xbb\xbfrung: 1\n")
    assert plain(load(tmp_path / "spec.yaml").root) == {"rung": 1}


def test_files_that_cannot_be_text(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: ok\ntitle: caf\xe9\n")
    assert problems(tmp_path / "latin.yaml") == [(2, 11, "not-utf8")]
    assert problems(tmp_path) == [(1, 1, "missing-file")]
    assert problems(tmp_path / "gone.yaml") == [(1, 1, "missing-file")]
    assert problems(Path("/dev/zero")) == [(1, 1, "missing-file")]
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    assert problems(tmp_path / "loop.yaml") == [(1, 1, "missing-file")]
    assert problems(tmp_path / ("x" * 5000)) == [(1, 1, "missing-file")]


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "huge.yaml").open("wb") as stream:
        stream.truncate(70_000_000)
    assert problems(tmp_path / "huge.yaml") == [(1, 1, "too-large")]


# --- use ---------------------------------------------------------------------------------------------------------


def test_used_files_contribute_to_sections_and_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    write(tmp_path, "models: {a: {x: 1}}\n", "parts/shared.yaml")
    write(tmp_path, "rung: 1\nuse: [shared.yaml]\nmodels: {b: {x: 2}}\n", "parts/one.yaml")
    write(tmp_path, "use: [shared.yaml]\njudges: {c: {}}\n", "parts/two.yaml")
    spec = write(tmp_path, "use: [parts/one.yaml, parts/two.yaml]\nmodels: {d: {x: 3}}\n")
    document = load(spec)
    assert plain(document.root) == {"models": {"a": {"x": 1}, "b": {"x": 2}, "d": {"x": 3}}, "judges": {"c": {}}}
    assert [file.name for file in document.files] == ["spec.yaml", "one.yaml", "shared.yaml", "two.yaml"]


def test_a_clash_shows_both_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "models:\n  a: {}\n", "used.yaml")
    spec = write(tmp_path, "use: [used.yaml]\nmodels: {a: {}}\n")
    with pytest.raises(SpecError) as error:
        load(spec)
    (problem,) = error.value.problems
    assert (problem.code, str(problem.span), str(problem.related[0][0])) == (
        "name-clash",
        "spec.yaml:2:10",
        "used.yaml:2:3",
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("name: other\n", "misplaced-key"),
        ("rung: 2\n", "wrong-version"),
        ("modles: {}\n", "unknown-key"),
        ("models: [a]\n", "wrong-type"),
        ("use: [spec.yaml]\n", "cycle"),
        ("- a\n", "wrong-type"),
    ],
)
def test_mistakes_in_a_used_file(tmp_path: Path, text: str, code: str) -> None:
    write(tmp_path, text, "used.yaml")
    assert [found for _, _, found in problems(write(tmp_path, "use: [used.yaml]\n"))] == [code]


def test_files_are_named_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = write(tmp_path, "a: 1\n")
    monkeypatch.chdir(tmp_path)
    assert load(spec).file == "spec.yaml"
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert load(spec).file == str(spec)


# --- overrides ---------------------------------------------------------------------------------------------------

_SPEC = """\
params: {rounds: 3, beta: 0.1}
pipeline:
  base: {kind: pretrain, model: tiny, phases: [{name: a}, {name: b}]}
  rpo: {stages: {train: {loss: {beta: 0.1}}}}
  report: {rows: {+ RPO v1.5: x}}
"""


@pytest.mark.parametrize(
    ("override", "path", "value", "column"),
    [
        ("params.rounds=1", "params.rounds", 1, 15),
        ("params.beta=1e-4", "params.beta", 1e-4, 13),
        ("params.beta=no", "params.beta", "no", 13),
        ("params.beta=[0.1, 2]", "params.beta", (0.1, 2), 13),
        ('params.beta="5"', "params.beta", "5", 13),
        ("params.beta=a=b: c", "params.beta", "a=b: c", 13),
        ("params.beta=", "params.beta", None, 13),
        ("pipeline.rpo.stages.train.loss.beta=0.2", "pipeline.rpo.stages.train.loss.beta", 0.2, 37),
        ("pipeline.base.phases.1.name=c", "pipeline.base.phases.1.name", "c", 29),
        ("pipeline.base.placement.layout.dp=2", "pipeline.base.placement.layout.dp", 2, 35),
        ("pipeline.report.rows.+ RPO v1.5=y", "pipeline.report.rows.+ RPO v1.5", "y", 33),
        ("matrix.params.beta=[1, 2]", "matrix.params.beta", (1, 2), 20),
    ],
)
def test_an_override_replaces_one_value(tmp_path: Path, override: str, path: str, value: object, column: int) -> None:
    root = load(write(tmp_path, _SPEC), ["params.rounds=2", override]).root
    entry = find(root, path)
    assert entry is not None
    assert plain(entry.value) == value
    assert entry.value.at == ("--set", 2, column)


@pytest.mark.parametrize(
    ("override", "code"),
    [
        ("params.ruonds=1", "unknown-path"),
        ("parms.rounds=1", "unknown-path"),
        ("pipeline.bse.seed=1", "unknown-path"),
        ("pipeline.base.model.num_layers=2", "unknown-path"),
        ("pipeline.base.phases.2.name=c", "unknown-path"),
        ("pipeline.base.phases.x=c", "unknown-path"),
        ("pipeline.base.phases.99999999999999999999=c", "unknown-path"),
        ("params.rounds", "bad-override"),
        ("=1", "bad-override"),
        ("", "bad-override"),
        ("params.rounds=[1", "not-yaml"),
        ("params.rounds={a: 1, a: 2}", "not-yaml"),
        ("params.rounds=" + "9" * 5000, "out-of-range"),
        ("params.rounds=\udcff", "out-of-range"),
    ],
)
def test_an_override_that_means_nothing(tmp_path: Path, override: str, code: str) -> None:
    with pytest.raises(SpecError) as error:
        load(write(tmp_path, _SPEC), [override])
    (problem,) = error.value.problems
    assert problem.code == code
    assert problem.span is not None
    assert (problem.span.file, problem.span.line) == ("--set", 1)


def test_an_override_of_an_aliased_value_changes_one_place(tmp_path: Path) -> None:
    root = load(write(tmp_path, "models: {a: &a {x: 1}, b: *a}\n"), ["models.b.x=2"]).root
    assert plain(root) == {"models": {"a": {"x": 1}, "b": {"x": 2}}}


def test_a_misspelt_path_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        load(write(tmp_path, _SPEC), ["params.ruonds=1"])
    assert "params.rounds" in error.value.problems[0].hint


def test_a_used_file_stays_within_the_folder_above_the_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tmp_path / "specs" / "experiments" / "r.yaml"
    for folder in ("specs/experiments", "specs/models", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "elsewhere" / "m.yaml").write_text("use: [n.yaml]\nmodels: {m: {}}\n")
    (tmp_path / "elsewhere" / "n.yaml").write_text("models: {n: {}}\n")
    (tmp_path / "specs" / "models" / "m.yaml").write_text("models: {m: {}}\n")
    (tmp_path / "specs" / "models" / "link.yaml").symlink_to(tmp_path / "elsewhere" / "n.yaml")

    def codes(*used: str) -> list[str]:
        recipe.write_text(f"rung: 1\nname: r\nuse: {list(used)}\npipeline: {{}}\n")
        try:
            load(recipe)
        except SpecError as error:
            return [problem.code for problem in error.problems]
        return []

    assert codes("../models/m.yaml") == []
    assert codes("../../elsewhere/m.yaml") == ["outside-folder"]
    assert codes("../models/link.yaml") == ["outside-folder"]
    assert codes(str(tmp_path / "elsewhere" / "m.yaml")) == []
    monkeypatch.chdir(recipe.parent)
    recipe.write_text("rung: 1\nname: r\nuse: [../models/m.yaml]\npipeline: {}\n")
    assert load(Path("r.yaml")).files

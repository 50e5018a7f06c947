"""A problem is shown with its line and a caret under its place, whatever stands in the line or becomes of the file."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from compiler.cli import main
from compiler.errors import Problem, Span, SpecError, visible
from compiler.reading.excerpts import excerpts
from compiler.terminal.problems import problems_json, show_problems

_WORLD = Path(__file__).parent / "recipes" / "world.yaml"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(
    text: str | bytes,
    line: int,
    column: int,
    *,
    message: str = "is wrong",
    hint: str = "",
    related: tuple[tuple[Span, str], ...] = (),
    width: int | None = None,
) -> list[str]:
    """The lines that are printed of one problem in a file of this text."""
    Path("a.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    problem = Problem(Span("a.yaml", line, column), "x", message, "wrong-value", hint, related)
    return printed(SpecError([problem]), width=width)[:-1]


def printed(error: SpecError, overrides: Sequence[str] = (), *, width: int | None = None) -> list[str]:
    stream = io.StringIO()
    terminal = width is not None
    show_problems(Console(file=stream, width=width, force_terminal=terminal, color_system=None), error, overrides)
    return stream.getvalue().splitlines()


def underlined(lines: Sequence[str]) -> str:
    """What of the second line stands, cell by cell, above the carets of the third."""
    start, stop = lines[2].index("^"), lines[2].rindex("^") + 1
    cells: list[str] = []
    for letter in lines[1]:
        cells += [letter, *[""] * (cell_len(letter) - 1)] if cell_len(letter) else []
    return "".join(cells[start:stop])


def test_the_first_line_is_what_editors_parse_and_the_snippet_follows() -> None:
    lines = shown("rung: 1\nseed: -1\n", 2, 7, hint="write 1")
    assert lines[0] == "a.yaml:2:7: x: is wrong [wrong-value]"
    assert lines[1] == "  2 | seed: -1"
    assert lines[2] == "    |       ^^"
    assert lines[3].strip() == "hint: write 1"


@pytest.mark.parametrize(
    ("line", "column", "value"),
    [
        ("key: value # comment", 1, "key"),
        ("key: a value of words # comment", 6, "a value of words"),
        ('key: "quoted, \\" text"', 6, '"quoted, \\" text"'),
        ("key: {a: [1, 2], b: 3} # comment", 6, "{a: [1, 2], b: 3}"),
        ("key: {a: [1, 2], b: 3}", 10, "[1, 2]"),
        ("key: [one, two]", 12, "two"),
        ("key: &name [1]", 6, "&name [1]"),
        ("key: [&a 1, *a]", 13, "*a"),
        ("日本: {🚀🚀: 値段}", 6, "🚀🚀"),
        ("日本: {🚀🚀: 値段}", 10, "値段"),
        ("a: {b:\tcde}", 8, "cde"),
        ("e\u0301: {b: cde}", 9, "cde"),
    ],
)
def test_the_whole_value_or_key_is_underlined(line: str, column: int, value: str) -> None:
    assert underlined(shown(line + "\n", 1, column)) == value


def test_a_value_of_several_lines_is_underlined_on_its_first() -> None:
    assert underlined(shown("key: {a: 1, # comment\n  b: 2}\n", 1, 6)) == "{a: 1, # comment"


def test_a_place_where_no_value_begins_gets_one_caret() -> None:
    assert underlined(shown("key: value\n", 1, 3)) == "y"
    lines = shown("key: {a: 1\n", 1, 11)
    assert lines[2].index("^") == lines[1].rindex("1") + 1


def test_lines_are_counted_as_yaml_counts_them() -> None:
    text = 'a: "1\u2028 2"\r\nb: 2\rc: \x0c3\n'
    assert shown(text, 3, 1)[1].endswith("| b: 2")
    assert shown(text, 4, 1)[1].endswith("| c: <U+000C>3")


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("column", [1, 500, 5001, 9990])
def test_a_long_line_is_cropped_around_the_caret(width: int, column: int) -> None:
    line = "x" * 4999 + "日" + "y" * 5000
    lines = shown(line + "\n", 1, column, width=width)
    assert cell_len(lines[1]) <= width
    assert lines[2].rstrip().endswith("^")
    assert len(lines[2]) <= width
    assert "…" in lines[1]
    assert lines[0].endswith("[wrong-value]")


def test_a_line_of_ten_megabytes_is_no_trouble() -> None:
    line = "a: [" + "1, " * 3_500_000 + "2]"
    lines = shown(line + "\n", 1, 9_000_002)
    assert len(lines[1]) < 200
    assert underlined(lines) == "1"


def test_nothing_of_a_file_is_taken_for_markup_or_obeyed_by_the_terminal() -> None:
    lines = shown(
        "a: '[bold]x[/bold] [/] \x7f \u202e \x9b31m'\n", 1, 4, message="\x1b[31mred\x07\nline", hint="\x9b[0m"
    )
    assert "[bold]x[/bold] [/]" in lines[1]
    assert lines[0] == "a.yaml:1:4: x: <U+001B>[31mred<U+0007><U+000A>line [wrong-value]"
    assert not any(letter in "\x1b\x07\x7f\x9b\u202e" for line in lines for letter in line)
    assert all(
        letter.isprintable() for letter in str(Problem(None, "\x1b", "\x00", "wrong-value", "\x9b")).split("\n")[0]
    )


def test_half_a_surrogate_pair_can_be_printed() -> None:
    assert visible("a\udce9b").isprintable()
    visible("a\udce9b").encode()


def test_an_emoji_of_several_characters_stays_whole() -> None:
    assert visible("\N{WOMAN}\u200d\N{ROCKET}") == "\N{WOMAN}\u200d\N{ROCKET}"


@pytest.mark.parametrize("what", ["gone", "shorter", "folder", "narrower"])
def test_a_file_that_has_changed_since_gives_no_snippet_and_no_trouble(what: str) -> None:
    Path("a.yaml").write_text("x: 1\ny: 2\n")
    if what == "folder":
        Path("a.yaml").unlink()
        Path("a.yaml").mkdir()
    elif what == "gone":
        Path("a.yaml").unlink()
    place = Span("a.yaml", 9, 1) if what == "shorter" else Span("a.yaml", 1, 40)
    lines = printed(SpecError([Problem(place, "x", "is wrong", "wrong-value", "a hint")]))
    assert [line.strip() for line in lines[:2]] == [f"{place}: x: is wrong [wrong-value]", "hint: a hint"]


def test_each_related_place_has_its_own_line() -> None:
    Path("b.yaml").write_text("one: 1\n" * 11 + "two: [1]\n")
    lines = shown(
        "a: 1\n", 1, 4, related=((Span("b.yaml", 12, 6), "used here"), (Span("none.yaml", 1, 1), "and there"))
    )
    assert lines[3].strip() == "b.yaml:12:6: used here"
    assert underlined(lines[3:]) == "[1]"
    assert lines[6].strip() == "none.yaml:1:1: and there"
    assert len({line.index("|") for line in lines if " | " in line}) == 1


@pytest.mark.parametrize(
    ("override", "column", "value"),
    [
        ("params.seed=-1", 13, "-1"),
        ("params.seed= -1", 14, "-1"),
        ("params.seed=-1", 1, "params.seed"),
        ("nonsense", 1, "nonsense"),
        ("a=[1, {b: 2}]", 7, "{b: 2}"),
        ("a=", 3, ""),
    ],
)
def test_an_override_is_shown_as_it_was_typed(override: str, column: int, value: str) -> None:
    error = SpecError([Problem(Span("--set", 2, column), "", "is wrong", "wrong-value")])
    lines = printed(error, ["other=1", override])
    assert lines[1] == f"  --set | {override}"
    assert underlined([*lines[:1], lines[1] + " ", lines[2]]).strip() == value


@pytest.mark.parametrize("override", ["params.seed=-1", "params.seed= -1"])
def test_a_wrong_value_of_an_override_is_shown_at_both_ends(override: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("world.yaml").write_text(_WORLD.read_text(encoding="utf-8"), encoding="utf-8")
    Path("r.yaml").write_text(
        "rung: 1\nname: r\nuse: [world.yaml]\npipeline:\n"
        '  w: {kind: annotate, prompts: web_prompts, error_rate: 0, seed: "${params.seed}"}\n'
    )
    assert main(["check", "r.yaml", "--set", override]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"--set:1:{override.index('-') + 1}: pipeline.w.seed: is -1")
    assert underlined(lines) == "-1"
    assert lines[3].strip() == "r.yaml:5:66: used here"
    assert underlined(lines[3:]) == '"${params.seed}"'


def test_the_same_stands_in_json_with_ends_and_related_places(capsys: pytest.CaptureFixture[str]) -> None:
    Path("r.yaml").write_text("rung: 1\nname: r\nname: s\npipeline: {}\n")
    for verb in (["check"], ["plan"], ["render", "--out", "out"], ["run"]):
        assert main([*verb, "r.yaml", "--json"]) == 2
        assert json.loads(capsys.readouterr().out)["problems"] == [
            {
                "file": "r.yaml",
                "line": 3,
                "column": 1,
                "end_column": 5,
                "path": "",
                "code": "duplicate-key",
                "message": "duplicate key 'name'",
                "hint": "",
                "related": [
                    {"file": "r.yaml", "line": 2, "column": 1, "end_column": 5, "message": "first written here"}
                ],
            }
        ]


def test_a_problem_without_a_place_has_nulls_in_json() -> None:
    (found,) = problems_json(SpecError([Problem(None, "", "no cluster 'x'", "unknown-cluster")]))
    assert [found[key] for key in ("file", "line", "column", "end_column")] == [None] * 4


def test_a_device_is_not_read_for_its_lines() -> None:
    assert excerpts([Problem(Span("/dev/zero", 1, 1), "", "", "wrong-value")]) == {}

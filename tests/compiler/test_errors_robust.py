"""What no one means to write must not stop the command from answering: huge, deep and endless files."""

import os
from pathlib import Path

import pytest

from compiler.errors import SpecError
from compiler.load import load
from compiler.reading.excerpts import excerpts


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[" * 500, "too-large"),
        ("a: " + "[" * 500, "too-large"),
        # Some versions of the parser refuse this themselves.
        ("[" * 100_000, None),
        ("a: " + "[[]," * 100_000, "too-large"),
        ("? \n" * 30_000, "duplicate-key"),
        ("a: 1\n" * 30_000, "duplicate-key"),
        ("rung: 1\nname: " + "x" * 3_000_000 + ": {\n", "not-yaml"),
        ("&a [*a]", "cycle"),
    ],
    ids=[
        "brackets",
        "nested",
        "very many brackets",
        "pairs of brackets",
        "empty keys",
        "one key",
        "one line",
        "circle",
    ],
)
def test_a_monstrous_file_gives_a_bounded_number_of_problems_with_lines(
    tmp_path: Path, text: str, code: str | None
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(text)
    with pytest.raises(SpecError) as error:
        load(spec)
    assert code is None or code in {problem.code for problem in error.value.problems}
    assert len(error.value.problems) <= 501
    assert excerpts(error.value.problems)


def test_what_is_no_regular_file_is_refused_unread(tmp_path: Path) -> None:
    for odd in (Path("/dev/zero"), tmp_path):
        with pytest.raises(SpecError) as error:
            load(odd)
        assert [problem.code for problem in error.value.problems] == ["missing-file"]


def test_a_file_that_never_has_anything_to_read_is_not_waited_for(tmp_path: Path) -> None:
    kernel = Path("/proc/kmsg")
    if not kernel.is_file() or not os.access(kernel, os.R_OK):
        pytest.skip("this system has no /proc/kmsg that may be read")
    spec = tmp_path / "spec.yaml"
    spec.write_text(f"rung: 1\nname: odd\nuse: [{kernel}]\npipeline: {{}}\n")
    with pytest.raises(SpecError) as error:
        load(spec)
    assert error.value.problems

"""Each file of `broken/` shows one mistake and ends with the places and codes of the problems it must give."""

import re
from pathlib import Path

import pytest

from compiler.errors import SpecError
from compiler.pipeline import compile_graph

_BROKEN = sorted((Path(__file__).parent / "broken").glob("*.yaml"))
_EXPECT = re.compile(r"# expect (?:(?P<file>\S+):)?(?P<line>\d+):(?P<column>\d+) (?P<code>\S+)")


@pytest.mark.parametrize("spec", _BROKEN, ids=lambda path: path.stem)
def test_a_broken_spec_gives_exactly_its_problems(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(spec.parent)
    wanted = [
        (match["file"] or spec.name, int(match["line"]), int(match["column"]), match["code"])
        for match in _EXPECT.finditer(spec.read_text(encoding="utf-8"))
    ]
    assert wanted
    with pytest.raises(SpecError) as error:
        compile_graph(Path(spec.name), [])
    found = [(p.span.file, p.span.line, p.span.column, p.code) for p in error.value.problems if p.span]
    assert found == wanted
    assert len(found) == len(error.value.problems)


def test_the_corpus_is_there() -> None:
    assert len(_BROKEN) > 100

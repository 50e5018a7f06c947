"""Whatever is done to a good recipe, the answer is a graph or a SpecError: a traceback is a bug."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler.draw.mermaid import draw_mermaid
from compiler.draw.picture import picture_of
from compiler.draw.text import draw_text
from compiler.errors import SpecError
from compiler.load import load_tree
from compiler.pipeline import compile_graph
from compiler.reading.tree import plain

_RECIPES = Path(__file__).parent / "recipes"
_TEXT = (_RECIPES / "small.yaml").read_text(encoding="utf-8")
_LINES = _TEXT.splitlines()
_TREE: Any = plain(load_tree(_RECIPES / "small.yaml"))
_QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        shutil.copy(_RECIPES / "shapes.yaml", name)
        yield Path(name)


def compile_anything(folder: Path, text: str, overrides: Sequence[str] = ()) -> None:
    (folder / "spec.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        graph = compile_graph(folder / "spec.yaml", overrides)
    except SpecError as error:
        assert error.problems
        assert len({str(problem) for problem in error.problems}) == len(error.problems)
        for problem in error.problems:
            assert problem.span is None or (problem.span.line >= 1 and problem.span.column >= 1)
            assert problem.message
            assert problem.code
        return
    assert draw_text(picture_of(graph))
    assert draw_mermaid(picture_of(graph))


_WORDS = st.sampled_from(
    [
        *("", "${", "${policy}", "${params.seed}", "${params.none}", "${round}", "rpo", "rpo.policy", "rpo.1.train"),
        *(
            "rpo.0.x",
            "rpo.99999999999.x",
            "ladder.teacher",
            "ladder.2.sft",
            "sft",
            "reward",
            "base.policy",
            "base..",
            ".",
        ),
        *("1e400", ".nan", "8T", "-1", "0", "null", "true", "[]", "{}", "[1, [2]]", "{a: {b: c}}", "&a [1]", "*base"),
        *("*rate", "!!int 5", "'", '"', "<<", "- ", ": ", "#", "kind", "repeat: 1000", "9" * 200),
        *("\t", "\u0000", "\u2028", "\ufeff", "é", "\U0001f600"),
    ]
)


@_QUICK
@given(data=st.data())
def test_mutated_text(folder: Path, data: st.DataObject) -> None:
    lines = list(_LINES)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(["drop", "repeat", "swap", "indent", "insert", "replace", "cut"])):
            case "drop":
                del lines[at]
            case "repeat":
                lines.insert(at, lines[at])
            case "swap":
                other = data.draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
            case "indent":
                lines[at] = " " * data.draw(st.integers(0, 8)) + lines[at].lstrip()
            case "insert":
                column = data.draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:column] + data.draw(_WORDS) + lines[at][column:]
            case "replace":
                words = lines[at].split(" ")
                words[data.draw(st.integers(0, len(words) - 1))] = data.draw(_WORDS)
                lines[at] = " ".join(words)
            case "cut":
                lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
    compile_anything(folder, "\n".join(lines))


_VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.integers(), st.floats(), st.text(max_size=5), _WORDS,
    st.lists(st.integers(0, 2), max_size=2), st.dictionaries(_WORDS, st.integers(0, 2), max_size=2),
)  # fmt: skip


@_QUICK
@given(data=st.data())
def test_mutated_values(folder: Path, data: st.DataObject) -> None:
    tree = plain_copy(_TREE)
    for _ in range(data.draw(st.integers(1, 3))):
        at, path = tree, []
        while isinstance(at, dict | list) and at:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            key = data.draw(st.sampled_from(keys))
            path.append((at, key))
            at = at[key]
        if not path:
            break
        parent, key = path[data.draw(st.integers(0, len(path) - 1))]
        match data.draw(st.sampled_from(["set", "drop", "copy", "rename"])):
            case "set":
                parent[key] = data.draw(_VALUES)
            case "drop":
                del parent[key]
            case "copy":
                source, name = path[data.draw(st.integers(0, len(path) - 1))]
                parent[key] = plain_copy(source.get(name) if isinstance(source, dict) else source[name])
            case "rename" if isinstance(parent, dict):
                parent[data.draw(_WORDS)] = parent.pop(key)
    compile_anything(folder, yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, default_flow_style=None))


def plain_copy(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: plain_copy(value) for key, value in tree.items()}
    return [plain_copy(value) for value in tree] if isinstance(tree, list) else tree


@_QUICK
@given(
    path=st.lists(
        st.sampled_from(["pipeline", "params", "rpo", "stages", "train", "0", "loss", "seed", "", "matrix"]), max_size=5
    ),
    value=st.one_of(_WORDS, st.text(max_size=8)),
    glue=st.sampled_from(["=", "", "=="]),
)
def test_any_override(folder: Path, path: list[str], value: str, glue: str) -> None:
    compile_anything(folder, _TEXT, [".".join(path) + glue + value])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet=st.sampled_from(list("ab1:-{}[]&*!|>'\"%@`,?# \n\t$~.")), max_size=60))
def test_any_text(folder: Path, text: str) -> None:
    compile_anything(folder, text)

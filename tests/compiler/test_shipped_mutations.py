"""Whatever is done to a shipped recipe, it is planned or refused with places; a traceback is a bug.

Some dozens of cases by default; `RUNG_NIGHTLY=1` tries thousands.
"""

import os
import random
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler.errors import SpecError
from compiler.pipeline import compile_plan

SPECS = Path(__file__).parents[2] / "specs"
RECIPES = {
    "nemotron4-340b": "h100-768",
    "nemotron4-15b": "h100-768",
    "one-node": "one-node",
    "tiny": "laptop",
}
TEXTS = {name: (SPECS / "experiments" / f"{name}.yaml").read_text(encoding="utf-8").splitlines() for name in RECIPES}
EXAMPLES = 4000 if os.environ.get("RUNG_NIGHTLY") else 60

_WORD = re.compile(r"[A-Za-z0-9_.${}-]+")
_CHANGES = ("drop", "repeat", "swap", "word", "odd", "key", "indent", "borrow")
_WEIGHTS = (2, 1, 1, 8, 8, 2, 1, 1)
_ODD = ("null", "true", "-1", "0", "1.5", "8T", "1e400", "[]", "{}", "[x]", "{a: 1}", '""', "é", "${round}", "x" * 300)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A place that looks like `specs/`, so that the recipes find their models."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "experiments").mkdir()
        shutil.copytree(SPECS / "models", Path(name) / "models")
        yield Path(name)


def mutated(lines: list[str], source: random.Random) -> list[str]:
    """A few small changes: what a hurried hand, a bad merge or a search-and-replace leaves behind."""
    lines = list(lines)
    for _ in range(source.randint(1, 2)):
        at = source.randrange(len(lines))
        words = list(_WORD.finditer(lines[at]))
        match source.choices(_CHANGES, _WEIGHTS)[0]:
            case "drop":
                del lines[at]
            case "repeat":
                lines.insert(at, lines[at])
            case "swap":
                other = source.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case "word" if words:
                word, other_words = source.choice(words), _WORD.findall(" ".join(lines))
                lines[at] = lines[at][: word.start()] + source.choice(other_words) + lines[at][word.end() :]
            case "odd" if words:
                word = source.choice(words)
                lines[at] = lines[at][: word.start()] + source.choice(_ODD) + lines[at][word.end() :]
            case "key" if words:
                word = source.choice(words)
                lines[at] = lines[at][: word.start()] + word[0][::-1] + lines[at][word.end() :]
            case "indent":
                lines[at] = source.choice(["  ", "", "      "]) + lines[at].lstrip()
            case "borrow":
                donor = TEXTS[source.choice(sorted(TEXTS))]
                lines.insert(at, source.choice(donor))
    return lines


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(RECIPES)), seed=st.integers(0, 2**32))
def test_a_mutated_recipe_is_planned_or_refused_with_places(folder: Path, name: str, seed: int) -> None:
    lines = mutated(TEXTS[name], random.Random(seed))
    spec = folder / "experiments" / "spec.yaml"
    spec.write_text("\n".join(lines) + "\n", encoding="utf-8")
    try:
        plan = compile_plan(spec, [], cluster=RECIPES[name], store=folder / "store")
    except SpecError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.span is not None, problem
            assert 1 <= problem.span.line <= len(lines) + 1 or not problem.span.file.endswith("spec.yaml")
        return
    assert len({stage.label for stage in plan.stages}) == len(plan.stages)
    assert all(stage.wall_s >= 0 for stage in plan.stages)

"""What a fingerprint depends on, and what it does not."""

import copy
import random
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from compiler.clusters import find_cluster
from compiler.errors import SpecError
from compiler.graph import StageGraph
from compiler.load import load_tree
from compiler.pipeline import compile_graph
from compiler.plan import make_plan
from compiler.planning.inventory import EMPTY
from compiler.reading.tree import plain

RECIPES = Path(__file__).parents[1] / "recipes"
SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def prints(graph: StageGraph, cluster: str = "laptop") -> dict[str, str]:
    plan = make_plan(graph, find_cluster(cluster), EMPTY, cores=2, now=datetime(2026, 1, 1, tzinfo=UTC))
    return {stage.label: stage.fingerprint for stage in plan.stages}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(RECIPES / "shapes.yaml", tmp_path)
    return tmp_path


def listed(value: Any) -> Any:
    """As `yaml` writes it."""
    if isinstance(value, dict):
        return {key: listed(part) for key, part in value.items()}
    return [listed(part) for part in value] if isinstance(value, list | tuple) else value


TREE: dict[str, Any] = listed(plain(load_tree(RECIPES / "small.yaml")))


def compiled(folder: Path, tree: dict[str, Any]) -> StageGraph:
    spec = folder / "spec.yaml"
    spec.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return compile_graph(spec, [])


def shuffled(value: Any, source: random.Random) -> Any:
    """Mappings in another order; lists, whose order means something, as they were."""
    if isinstance(value, dict):
        keys = list(value)
        source.shuffle(keys)
        return {key: shuffled(value[key], source) for key in keys}
    return [shuffled(part, source) for part in value] if isinstance(value, list) else value


def stages_of(entries: dict[str, Any], path: str = "pipeline") -> dict[str, dict[str, Any]]:
    """Path -> stage as written, through loops."""
    found: dict[str, dict[str, Any]] = {}
    for name, entry in entries.items():
        if "kind" in entry:
            found[f"{path}.{name}"] = entry
        else:
            found.update(stages_of(entry["stages"], f"{path}.{name}.stages"))
    return found


@SETTINGS
@given(seed=st.integers(0, 2**32))
def test_the_order_of_keys_changes_no_fingerprint(folder: Path, seed: int) -> None:
    other = {key: shuffled(part, random.Random(seed)) if key != "matrix" else part for key, part in TREE.items()}
    assert prints(compiled(folder, other)) == prints(compiled(folder, TREE))


@SETTINGS
@given(data=st.data())
def test_placement_and_cluster_change_no_fingerprint(folder: Path, data: st.DataObject) -> None:
    tree = copy.deepcopy(TREE)
    for stage in stages_of(tree["pipeline"]).values():
        if data.draw(st.booleans()):
            stage["placement"] = {"threads": data.draw(st.integers(1, 8)), "checkpoint_every_steps": 7}
    before = prints(compiled(folder, TREE))
    assert prints(compiled(folder, tree)) == before
    assert prints(compiled(folder, tree), "one-node") == before


def test_moving_the_workspace_changes_no_fingerprint(folder: Path, tmp_path: Path) -> None:
    before = prints(compiled(folder, TREE))
    elsewhere = tmp_path / "deep" / "er"
    elsewhere.mkdir(parents=True)
    shutil.copy(RECIPES / "shapes.yaml", elsewhere)
    assert prints(compiled(elsewhere, TREE)) == before


@SETTINGS
@given(data=st.data())
def test_a_changed_field_changes_its_stage_and_what_rests_on_it_and_nothing_else(
    folder: Path, data: st.DataObject
) -> None:
    tree = copy.deepcopy(TREE)
    written = stages_of(tree["pipeline"])
    numbers = [
        (path, field)
        for path, stage in written.items()
        for field, value in stage.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    path, field = data.draw(st.sampled_from(numbers))
    written[path][field] = written[path][field] * 2 + 1 if isinstance(written[path][field], int) else 0.125
    graph = compiled(folder, TREE)
    try:
        changed = compiled(folder, tree)
    except SpecError:
        assume(False)
    before, after = prints(graph), prints(changed)
    assert set(before) == set(after)
    own = {label for label in graph.order() if graph.stage(label).path == path}
    expected = own.union(*(graph.descendants(label) for label in own))
    assert {label for label in before if before[label] != after[label]} == expected


def test_stages_of_equal_content_share_a_fingerprint_whatever_they_are_called(folder: Path) -> None:
    tree = copy.deepcopy(TREE)
    tree["pipeline"]["web_again"] = copy.deepcopy(tree["pipeline"]["web"])
    found = prints(compiled(folder, tree))
    twins = {label for label in found if label.startswith("web_again")}
    assert twins
    assert all(found[label] == found[label.replace("web_again", "web")] for label in twins)

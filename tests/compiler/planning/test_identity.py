"""What a fingerprint depends on, and what it does not."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from compiler.clusters import find_cluster
from compiler.pipeline import compile_graph
from compiler.plan import Plan, make_plan
from compiler.planning.inventory import EMPTY

RECIPE = Path(__file__).parents[2] / "recipes" / "micro.yaml"


def plan(text: str, folder: Path, overrides: tuple[str, ...] = ()) -> Plan:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "recipe.yaml"
    file.write_text(text)
    graph = compile_graph(file, overrides)
    return make_plan(graph, find_cluster("laptop"), EMPTY, cores=2, now=datetime(2026, 1, 1, tzinfo=UTC))


def prints(plan: Plan) -> Mapping[str, str]:
    return {stage.label: stage.fingerprint for stage in plan.stages}


@pytest.fixture
def text() -> str:
    return RECIPE.read_text()


def test_neither_place_nor_comments_nor_order_of_keys_change_identity(text: str, tmp_path: Path) -> None:
    original = prints(plan(text, tmp_path / "a"))
    commented = re.sub(r"\n", "  # a comment\n", text, count=1)
    reordered = commented.replace("error_rate: 0.1, seed: 1}", "seed: 1, error_rate: 0.1}")
    assert reordered != text
    assert prints(plan(reordered, tmp_path / "elsewhere" / "b")) == original


def test_placement_does_not_change_identity(text: str, tmp_path: Path) -> None:
    original = prints(plan(text, tmp_path / "a"))
    moved = text.replace("placement: {layout: {dp: 2}, checkpoint_every_steps: 20}", "placement: {threads: 2}")
    assert moved != text
    assert prints(plan(moved, tmp_path / "b")) == original


def test_a_renamed_stage_is_the_same_stage(text: str, tmp_path: Path) -> None:
    original = prints(plan(text, tmp_path / "a"))
    renamed = prints(plan(re.sub(r"\breward_ratings\b", "ratings", text), tmp_path / "b"))
    assert renamed["ratings"] == original["reward_ratings"]
    assert renamed["rounds.2.train"] == original["rounds.2.train"]


@pytest.mark.parametrize(
    ("override", "first"),
    [
        ("pipeline.base.seq_length=16", "base"),
        ("pipeline.sft.epochs=3", "sft"),
        ("pipeline.rounds.stages.train.loss.beta=0.2", "rounds.1.train"),
        ("pipeline.answers.error_rate=0.2", "answers"),
        ("judges.by_reward.gate=0.5", "rounds.1.rewards"),
    ],
)
def test_a_changed_field_changes_its_stage_and_what_follows_and_nothing_else(
    text: str, tmp_path: Path, override: str, first: str
) -> None:
    original, changed = plan(text, tmp_path), plan(text, tmp_path, (override,))
    differing = {label for label, value in prints(changed).items() if prints(original)[label] != value}
    graph = compile_graph(tmp_path / "recipe.yaml", ())
    own = {label for label in differing if not any(need in differing for need in graph.inputs(label))}
    assert first in own
    expected = own | {label for name in own for label in graph.descendants(name)}
    assert differing == expected
    assert differing != set(prints(original))


def test_the_words_of_a_chat_template_are_identity(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = prints(plan(text, tmp_path))
    monkeypatch.setattr("compiler.planning.fingerprint.template_text", lambda name: f"other words in {name}")
    changed = prints(plan(text, tmp_path))
    assert changed["tokenizer"] != original["tokenizer"]
    assert changed["answers"] == original["answers"]


def test_integers_and_equal_decimals_are_one_number(text: str, tmp_path: Path) -> None:
    original = prints(plan(text, tmp_path / "a"))
    assert prints(plan(text.replace("eta: 1.0", "eta: 1"), tmp_path / "b")) == original
    assert prints(plan(text.replace("rotary_base: 10k", "rotary_base: 10000"), tmp_path / "c")) == original

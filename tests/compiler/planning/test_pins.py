"""A pin keeps a sealed artifact on purpose: it is used whatever the recipe says, and the plan says what drifted."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from compiler.cli import main
from compiler.errors import SpecError
from compiler.pipeline import compile_bundle, compile_plan
from compiler.plan import Plan, PlannedStage

WORLD = Path(__file__).parents[1] / "recipes" / "world.yaml"
Seal = Callable[..., dict[str, PlannedStage]]


class Recipe:
    """A recipe that can be changed between plans, and its store."""

    def __init__(self, folder: Path) -> None:
        self.file, self.store = folder / "recipe.yaml", folder / "store"
        self.file.write_text("rung: 1\nname: pinned\n" + WORLD.read_text(encoding="utf-8"), encoding="utf-8")

    def change(self, old: str, new: str) -> None:
        text = self.file.read_text(encoding="utf-8")
        assert old in text
        self.file.write_text(text.replace(old, new), encoding="utf-8")

    def pin(self, stage: str, fingerprint: str) -> None:
        self.change(f"\n  {stage}:\n    kind", f"\n  {stage}:\n    pin: {fingerprint}\n    kind")

    def plan(self) -> Plan:
        return compile_plan(self.file, [], cluster="laptop", store=self.store)

    def stages(self) -> dict[str, PlannedStage]:
        return {stage.label: stage for stage in self.plan().stages}

    def wrong(self) -> tuple[str, str, str]:
        with pytest.raises(SpecError) as told:
            self.plan()
        (problem,) = told.value.problems
        assert problem.span is not None
        line = self.file.read_text(encoding="utf-8").splitlines()[problem.span.line - 1]
        return problem.code, problem.message, f"{line.strip()} | {problem.hint}"


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return Recipe(tmp_path)


def test_a_pin_to_what_the_recipe_says_changes_nothing(recipe: Recipe, seal: Seal) -> None:
    before = seal(recipe.file, recipe.store)
    recipe.pin("base", before["base"].fingerprint[:8])
    after = recipe.stages()
    assert {label: stage.fingerprint for label, stage in after.items()} == {
        label: stage.fingerprint for label, stage in before.items()
    }
    assert after["base"].reason.startswith("pinned, sealed")
    assert "drifted" not in after["base"].reason


def test_what_rests_on_a_pinned_stage_is_reused_though_its_recipe_drifted(recipe: Recipe, seal: Seal) -> None:
    before = seal(recipe.file, recipe.store)
    recipe.change("&rate {shape: constant, start: 1e-3, end: 1e-3", "&rate {shape: constant, start: 2e-3, end: 2e-3")
    assert recipe.stages()["base"].action == "run"
    recipe.pin("base", before["base"].fingerprint)
    base = recipe.stages()["base"]
    assert (base.action, base.fingerprint) == ("reuse", before["base"].fingerprint)
    assert "drifted: " in base.reason
    assert "learning_rate.start 0.001 -> 0.002" in base.reason


def test_an_unsealed_stage_that_only_a_pinned_one_needs_does_not_run(recipe: Recipe, seal: Seal) -> None:
    before = seal(recipe.file, recipe.store)
    recipe.change("error_rate: 0.1, seed: 1", "error_rate: 0.2, seed: 1")
    recipe.pin("base", before["base"].fingerprint)
    recipe.change("data: web\n", "data: web_of_old\n")
    recipe.change(
        "  web: {kind: annotate",
        "  web_of_old: {kind: annotate, prompts: web_prompts, error_rate: 0.1, seed: 1}\n  web: {kind: annotate",
    )
    recipe.change("data: [web], vocab", "data: [web_of_old], vocab")
    stages = recipe.stages()
    assert stages["web"].action == "run"  # wide_base still needs its tokens
    recipe.pin("wide_base", before["wide_base"].fingerprint)
    stages = recipe.stages()
    assert (stages["web"].action, stages["tokens"].action) == ("skip", "skip")
    assert not [stage for stage in stages.values() if stage.action == "run"]


def test_the_manifest_of_what_comes_after_names_the_pinned_artifact(recipe: Recipe, seal: Seal) -> None:
    before = seal(recipe.file, recipe.store)
    recipe.change("seq_length: 64\n    phases", "seq_length: 32\n    phases")
    recipe.pin("base", before["base"].fingerprint)
    recipe.change("    init: base\n    data: web\n    epochs: 1", "    init: base\n    data: web\n    epochs: 2")
    plan = recipe.plan()
    bundle = compile_bundle(plan, recipe.file, store=recipe.store, run=recipe.store / "runs" / "one")
    manifest = json.loads(next(text for name, text in bundle.files.items() if name.endswith("sft.json")))
    assert manifest["inputs"]["base"]["fingerprint"] == before["base"].fingerprint
    assert manifest["inputs"]["base"]["path"].endswith(f"pretrain/{before['base'].fingerprint}")


def test_a_fingerprint_that_yaml_reads_as_a_number_is_still_a_fingerprint(recipe: Recipe) -> None:
    recipe.pin("base", "123456789")
    code, message, shown = recipe.wrong()
    assert (code, message) == ("unknown-name", "the store has no sealed artifact that begins with 123456789")
    assert shown == "pin: 123456789 | no pretrain is sealed in this store"


def test_a_pin_that_names_nothing_is_told_what_there_is(recipe: Recipe, seal: Seal) -> None:
    before = seal(recipe.file, recipe.store)
    recipe.pin("base", "ffffffff")
    code, _, shown = recipe.wrong()
    assert code == "unknown-name"
    assert before["base"].fingerprint in shown


def test_a_pin_to_another_kind_of_stage_is_refused(recipe: Recipe, seal: Seal) -> None:
    before = seal(recipe.file, recipe.store)
    recipe.pin("base", before["sft"].fingerprint)
    code, message, shown = recipe.wrong()
    assert code == "wrong-artifact"
    assert "is a sealed sft (made as 'sft'), but this stage is pretrain" in message
    assert shown.startswith("pin: ")


def test_what_is_no_fingerprint_is_refused_where_it_stands(recipe: Recipe) -> None:
    recipe.pin("base", "latest")
    code, message, shown = recipe.wrong()
    assert (code, message) == ("wrong-value", "is 'latest', but must be the beginning of a fingerprint")
    assert shown.startswith("pin: latest")


def test_a_pinned_model_of_another_shape_is_refused(recipe: Recipe, seal: Seal) -> None:
    before = seal(recipe.file, recipe.store)
    recipe.change("num_layers: 4", "num_layers: 6")
    recipe.pin("sft", before["sft"].fingerprint)
    code, message, _ = recipe.wrong()
    assert code == "wrong-model"
    assert "num_layers 4 there, 6 here" in message


def test_a_pinned_model_of_another_tokenizer_is_refused_with_what_to_pin_besides(recipe: Recipe, seal: Seal) -> None:
    before = seal(recipe.file, recipe.store)
    recipe.change("error_rate: 0.1, seed: 1", "error_rate: 0.2, seed: 1")
    recipe.pin("base", before["base"].fingerprint)
    code, _, shown = recipe.wrong()
    assert code == "wrong-tokenizer"
    assert shown.endswith(f"pin 'tokenizer' too: `pin: {before['tokenizer'].fingerprint}`")


def test_explain_places_what_drifted(recipe: Recipe, seal: Seal, capsys: pytest.CaptureFixture[str]) -> None:
    before = seal(recipe.file, recipe.store)
    recipe.change("&rate {shape: constant, start: 1e-3, end: 1e-3", "&rate {shape: constant, start: 2e-3, end: 2e-3")
    recipe.pin("base", before["base"].fingerprint)
    main(["explain", str(recipe.file), "base", "--store", str(recipe.store), "--cluster", "laptop"])
    told = capsys.readouterr().out
    number = next(
        index for index, line in enumerate(recipe.file.read_text().splitlines(), start=1) if "start: 2e-3" in line
    )
    assert "pinned, sealed" in told
    assert f"recipe.yaml:{number}:" in told

import json
import subprocess
import sys
from pathlib import Path

import pytest

from compiler.cli import main
from compiler.manifest import Manifest

RECIPE = Path(__file__).parents[1] / "recipes" / "micro.yaml"


def test_a_mistake_shows_its_place_and_a_hint_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(RECIPE.read_text().replace("error_rate", "eror_rate").replace("init: base", "init: bse"))
    assert main(["check", str(bad)]) == 2
    shown = capsys.readouterr().err
    line = next(n for n, text in enumerate(bad.read_text().splitlines(), 1) if "eror_rate" in text)
    assert f"bad.yaml:{line}:" in shown
    assert "did you mean 'error_rate'?" in shown
    assert "Traceback" not in shown


def test_problems_as_json_are_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("rung: 1\nname: x\npipeline: {a: {kind: sfft}}\n")
    assert main(["check", str(bad), "--json"]) == 2
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert (problem["line"], problem["path"]) == (3, "pipeline.a.kind")
    assert "sft" in problem["hint"]


@pytest.mark.parametrize(
    "command",
    [
        ["check", "no/such/file.yaml"],
        ["plan", str(RECIPE), "--cluster", "latpop"],
        ["plan", str(RECIPE), "--set", "pipeline.sft.epoch=2"],
        ["status", "no-such-run"],
        ["report"],
        ["logs", "--stage", "base"],
    ],
    ids=lambda command: command[0] + ("-" + command[-1].split("=")[0] if len(command) > 2 else ""),
)
def test_what_does_not_exist_is_the_users_mistake(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ["--store", str(tmp_path)] if command[0] != "check" else []
    assert main([*command, *store]) == 2
    shown = capsys.readouterr()
    assert shown.err
    assert "Traceback" not in shown.err + shown.out


@pytest.mark.parametrize("command", ["status", "report", "resume", "cancel"])
def test_a_run_of_another_version_is_said_to_be_one(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "runs" / "old-20250101-120000-abcd"
    old.mkdir(parents=True)
    (old / "jobs.json").write_text('{"executor": "local", "jobs": [{"label": "base", "threads_of_old": 2}]}')
    assert main([command, "old", "--store", str(tmp_path)]) == 2
    assert "run old-20250101-120000-abcd was written by another version of rung" in capsys.readouterr().err


def test_the_plan_as_json_has_what_scripts_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(RECIPE), "--store", str(tmp_path), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert set(plan) == {"name", "cluster", "totals", "stages"}
    assert plan["totals"]["stages_run"] == len(plan["stages"])
    base = next(stage for stage in plan["stages"] if stage["name"] == "base")
    assert base["layout"] == {"tp": 1, "pp": 1, "vpp": 1, "cp": 1, "dp": 2}
    # 10k tokens at 8 x 32, 20k at 16 x 32, then 10k at 16 x 32.
    assert [phase["steps"] for phase in base["phases"]] == [39, 39, 20]
    assert base["steps"] == 98
    # h 32, f 64, 4 heads of 8 in 2 groups, 2 layers, 400 tokens.
    layer = 2 * 32 * 32 + 2 * 32 * 16 + 2 * 32 * 64 + 4 * 32
    assert base["parameters"] == {
        "total": 2 * layer + 64 + 2 * 400 * 32, "embedding": 2 * 400 * 32, "non_embedding": 2 * layer + 64,
    }  # fmt: skip


def test_rendered_manifests_are_whole_and_a_directory_is_never_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["render", str(RECIPE), "--store", str(tmp_path / "store"), "--out", str(out)]) == 0
    manifests = {
        file.stem: Manifest.model_validate_json(file.read_bytes()) for file in (out / "manifests").glob("*.json")
    }
    assert len(manifests) == 24
    train = manifests["rounds.2.train"]
    assert set(train.inputs) == {"rounds.1.train", "sft", "rounds.2.pairs"}
    assert train.inputs["sft"].fingerprint == manifests["sft"].fingerprint
    assert train.inputs["sft"].path == manifests["sft"].output
    assert (out / "spec.yaml").read_text() == RECIPE.read_text()
    assert main(["render", str(RECIPE), "--store", str(tmp_path / "store"), "--out", str(out)]) == 2


@pytest.mark.parametrize("form", ["text", "mermaid"])
def test_a_graph_names_every_stage(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", str(RECIPE), "--format", form]) == 0
    drawn = capsys.readouterr().out
    assert all(name in drawn for name in ("tokenizer", "base", "reward", "rounds", "report"))


def test_help_and_a_plan_load_no_torch_and_help_no_pydantic() -> None:
    code = """
import sys
from compiler.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
assert "pydantic" not in sys.modules
main(["plan", sys.argv[1], "--store", sys.argv[1] + ".none"])
assert not {"torch", "numpy", "megatron", "tokenizers"} & set(sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code, str(RECIPE)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_run_does_not_start_a_slurm_clusters_jobs_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(RECIPE), "--cluster", "one-node", "--store", str(tmp_path)]) == 2
    assert "one-node is a Slurm cluster" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_run_whose_recipe_makes_no_report_ends_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.jsonl").write_text('{"messages": "Say hello."}\n')
    source = "{kind: rows, format: jsonl, fields: {}}"
    recipe = tmp_path / "one.yaml"
    recipe.write_text(
        "rung: 1\nname: one\npipeline:\n"
        f"  asked: {{kind: adopt, artifact: prompts, name: mine, source: {source}, files: [rows.jsonl], rows: 1}}\n"
    )
    store = ["--store", str(tmp_path / "store")]
    assert main(["run", str(recipe), *store]) == 0
    capsys.readouterr()
    assert main(["report", *store]) == 2
    assert "no stage of kind `report`" in capsys.readouterr().err

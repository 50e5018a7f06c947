"""A job's script says what the stage needs in the words of the site's cluster file."""

from pathlib import Path

import pytest

from compiler.clusters import find_cluster
from compiler.errors import SpecError
from compiler.pipeline import compile_bundle, compile_plan

RECIPES = Path(__file__).parents[1] / "recipes"
LOOPBACK = Path(__file__).parents[3] / "specs" / "clusters" / "loopback.yaml"


def site(folder: Path, slurm: str, gpus_per_node: int) -> Path:
    """The test cluster with another `slurm` section."""
    known = LOOPBACK.read_text(encoding="utf-8").partition("slurm:\n")[0]
    file = folder / "site.yaml"
    file.write_text(known.replace("gpus_per_node: 8", f"gpus_per_node: {gpus_per_node}") + slurm, encoding="utf-8")
    return file


def scripts(
    folder: Path, slurm: str, *, placement: str = "{layout: {dp: 2}}", gpus_per_node: int = 8
) -> dict[str, str]:
    recipe = folder / "recipe.yaml"
    world = (RECIPES / "world.yaml").read_text(encoding="utf-8")
    text = world.replace("    seed: 1\n  wide_base:", f"    seed: 1\n    placement: {placement}\n  wide_base:")
    assert text != world
    recipe.write_text("rung: 1\nname: scripts\n" + text, encoding="utf-8")
    plan = compile_plan(recipe, [], cluster=str(site(folder, slurm, gpus_per_node)), store=folder)
    bundle = compile_bundle(plan, recipe, store=folder, run=folder / "runs" / "one")
    return {name.removesuffix(".sh"): text for name, text in bundle.files.items() if name.endswith(".sh")}


def flags(script: str) -> set[str]:
    return {line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")}


def test_a_stage_without_a_model_asks_for_no_gpu_and_a_training_stage_for_one_each_rank(tmp_path: Path) -> None:
    found = scripts(tmp_path, "slurm: {account: lab, qos: high, constraint: h100}\n")
    assert {"--nodes=1", "--ntasks-per-node=2", "--gpus-per-node=2"} <= flags(found["jobs/base"])
    assert {'--account="lab"', '--qos="high"', '--constraint="h100"'} <= flags(found["jobs/tokenizer"])
    assert not [flag for flag in flags(found["jobs/tokenizer"]) if "gpu" in flag]


def test_ranks_of_several_nodes_fill_whole_nodes(tmp_path: Path) -> None:
    found = flags(
        scripts(tmp_path, "slurm: {exclusive: true, gpus: gres}\n", placement="{layout: {dp: 16}}")["jobs/base"]
    )
    assert {"--nodes=2", "--ntasks-per-node=8", "--gres=gpu:8", "--exclusive"} <= found


def test_the_first_partition_and_its_limit_stand_where_a_stage_names_none(tmp_path: Path) -> None:
    slurm = 'slurm: {partitions: {long: {max_walltime: "2-00:00:00"}, short: {max_walltime: "0:10:00"}}}\n'
    placement = '{layout: {dp: 2}, partition: short, walltime: "0:05:00"}'
    found = scripts(tmp_path, slurm, placement=placement)
    assert {'--partition="long"', '--time="2-00:00:00"'} <= flags(found["jobs/sft"])
    assert {'--partition="short"', '--time="0:05:00"'} <= flags(found["jobs/base"])


@pytest.mark.parametrize(
    ("container", "words"),
    [
        (
            "{kind: pyxis, image: a.sqsh, mounts: ['/d:/d']}",
            "--container-image=a.sqsh --container-mounts=/d:/d python3",
        ),
        ("{kind: apptainer, image: a.sif, mounts: ['/d:/d']}", "apptainer exec --nv --bind /d:/d a.sif python3"),
    ],
    ids=["pyxis", "apptainer"],
)
def test_python_runs_in_the_sites_container(container: str, words: str, tmp_path: Path) -> None:
    script = scripts(tmp_path, f"slurm: {{container: {container}, modules: [cuda/12.8], environment: {{A: 'b c'}}}}\n")
    lines = script["jobs/base"].splitlines()
    assert f"{words} -P -u -m submitit.core._submit" in lines[-1]
    assert "module load cuda/12.8" in lines
    assert "export A='b c'" in lines


@pytest.mark.parametrize(
    ("placement", "field", "code", "words"),
    [
        ("{layout: {dp: 8}}", "layout", "indivisible", "no whole number of nodes of 6"),
        ("{partition: shrot}", "partition", "unknown-name", "no partition 'shrot'"),
        ('{partition: short, walltime: "1:00:00"}', "walltime", "too-large", "ends jobs after 0:10:00"),
    ],
    ids=["nodes", "partition", "walltime"],
)
def test_what_slurm_would_take_and_never_start_is_an_error_of_the_plan(
    placement: str, field: str, code: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError) as error:
        slurm = 'slurm: {partitions: {main: {}, short: {max_walltime: "0:10:00"}}}\n'
        scripts(tmp_path, slurm, placement=placement, gpus_per_node=6)
    (problem,) = error.value.problems
    assert (problem.path.rpartition(".")[2], problem.code) == (field, code)
    assert words in problem.message


def test_the_shipped_clusters_are_clusters() -> None:
    files = (Path(__file__).parents[3] / "specs" / "clusters").glob("*.yaml")
    assert {find_cluster(str(file)).name for file in files} >= {"laptop", "loopback", "one-node", "h100-768"}

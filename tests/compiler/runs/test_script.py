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
            ["--container-image=a.sqsh --container-mounts=/d:/d sh -c", " sh python3 -P -u -m submitit.core._submit"],
        ),
        (
            "{kind: apptainer, image: a.sif, mounts: ['/d:/d']}",
            [" sh apptainer exec --nv --bind /d:/d a.sif python3 -P -u -m submitit.core._submit"],
        ),
    ],
    ids=["pyxis", "apptainer"],
)
def test_python_runs_in_the_sites_container(container: str, words: list[str], tmp_path: Path) -> None:
    script = scripts(tmp_path, f"slurm: {{container: {container}, modules: [cuda/12.8], environment: {{A: 'b c'}}}}\n")
    lines = script["jobs/base"].splitlines()
    assert all(word in lines[-1] for word in words)
    assert "module load cuda/12.8" in lines
    assert "export A='b c'" in lines


def test_shards_are_an_array_of_which_so_many_run_at_once_as_the_site_says(tmp_path: Path) -> None:
    found = served(tmp_path, "slurm: {array_tasks: 4}\n", "placement: {shards: 16}", server="url: 'http://there/v1'")
    assert "--array=0-15%4" in flags(found["jobs/answers"])


@pytest.mark.parametrize(("requeue", "flag"), [("true", "--requeue"), ("false", "--no-requeue")])
def test_a_job_says_whether_it_may_be_queued_again(tmp_path: Path, requeue: str, flag: str) -> None:
    found = flags(scripts(tmp_path, f"slurm: {{requeue: {requeue}}}\n")["jobs/base"])
    assert [one for one in found if "requeue" in one] == [flag]


_ASKS = """\
rung: 1
name: asks
splits: {by_prompt: {salt: x, shares: {all: 1.0}}}
generators: {words: {kind: tasks, families: {reverse: 1}}}
pipeline:
  prompts: {kind: prompts, generator: words, count: 50, split: by_prompt, parts: [all], seed: 1}
  large: {kind: endpoint, model: some/large, revision: "1", seq_length: 4096, active_parameters: 70B}
  answers: {kind: generate, policy: large, prompts: prompts, samples: 1, seed: 1,
            sampling: {temperature: 1.0, top_p: 1.0, max_new_tokens: 20}, PLACEMENT}
"""
_START = "start: {command: 'serve --port $PORT', nodes: 2, gpus_per_node: 8, cores: 32, partition: gpus}"


def served(
    folder: Path, slurm: str, placement: str = "", *, server: str = _START, executor: str = "slurm"
) -> dict[str, str]:
    """Scripts of a recipe that asks a served model."""
    recipe, file = folder / "asks.yaml", site(folder, slurm, 8)
    recipe.write_text(_ASKS.replace("PLACEMENT", placement), encoding="utf-8")
    listed = f"servers: {{some/large: {{{server}, tokens_per_s: 100, price_per_million_tokens: 0}}}}\n"
    text = file.read_text(encoding="utf-8").replace("executor: slurm", f"executor: {executor}")
    file.write_text(text + listed, encoding="utf-8")
    plan = compile_plan(recipe, [], cluster=str(file), store=folder)
    bundle = compile_bundle(plan, recipe, store=folder, run=folder / "runs" / "one")
    return {name.removesuffix(".sh"): text for name, text in bundle.files.items() if name.endswith(".sh")}


def test_a_server_that_the_job_starts_is_a_component_of_its_own_on_nodes_of_its_own(tmp_path: Path) -> None:
    script = served(tmp_path, 'slurm: {account: lab, partitions: {cores: {max_walltime: "1:00:00"}, gpus: {}}}\n')[
        "jobs/answers"
    ]
    client, server = (flags(part) for part in script.split("#SBATCH hetjob\n"))
    assert {"--nodes=1", '--partition="cores"', '--account="lab"', '--time="1:00:00"'} <= client
    assert {"--nodes=2", "--gpus-per-node=8", "--cpus-per-task=32", '--partition="gpus"', '--account="lab"'} <= server
    assert not [flag for flag in client if "gpu" in flag]
    # The warning before the end is for the client: a server does not know what it means.
    assert not [flag for flag in server if "signal" in flag]
    assert "bash -c 'serve --port $PORT' &" in script
    assert "srun --het-group=0 " in script


def test_a_server_that_runs_anyway_is_started_by_nobody(tmp_path: Path) -> None:
    script = served(tmp_path, "slurm: {}\n", server="url: 'http://there/v1'")["jobs/answers"]
    assert "hetjob" not in script and "--het-group" not in script


@pytest.mark.parametrize(
    ("placement", "executor", "words"),
    [("placement: {shards: 2}", "slurm", "no arrays of such jobs"), ("", "local", "only jobs on Slurm do")],
    ids=["array", "here"],
)
def test_what_cannot_start_its_server_is_an_error_of_the_plan(
    placement: str, executor: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError) as error:
        served(tmp_path, "slurm: {}\n", placement, executor=executor)
    (problem,) = error.value.problems
    assert problem.code == "wrong-value"
    assert words in problem.message


def test_a_server_has_a_url_or_says_how_it_is_started(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        served(tmp_path, "slurm: {}\n", server="url: 'http://there/v1', " + _START)
    assert "a `url`, or a `start`" in error.value.problems[0].message


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

"""A live Slurm becomes a cluster file that plans are made against."""

import subprocess
from pathlib import Path

import pytest

from compiler.clusters import find_cluster

from .cases import MICRO, ROOT, command, rung
from .loopback import Loopback

pytestmark = pytest.mark.slow


def test_the_probed_file_is_a_cluster_that_a_recipe_is_planned_for(slurm: Loopback, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    done = subprocess.run(command("probe", "--out", file), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    site = find_cluster(str(file))
    assert (site.name, site.nodes, site.gpus_per_node) == ("loopback", 4, 8)
    assert {name: one.max_walltime for name, one in site.slurm.partitions.items()} == {
        "main": None,
        "short": "00:10:00",
        "spare": None,
    }
    assert next(iter(site.slurm.partitions)) == "main"
    text = file.read_text(encoding="utf-8")
    assert site.slurm.max_array_size == 10001
    assert "default 01:00:00" in text
    assert rung("plan", MICRO, "--cluster", file, "--store", tmp_path, "--json")["cluster"] == "loopback"


def test_a_file_that_is_there_is_not_overwritten(slurm: Loopback, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("mine")
    done = subprocess.run(command("probe", "--out", file), capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, file.read_text()) == (2, "mine")

"""Cluster files by name: `specs/clusters/<name>.yaml`, or any path."""

from pathlib import Path

from compiler.errors import Problem, SpecError, did_you_mean
from compiler.schema.cluster import Cluster
from compiler.validate import read_record

CLUSTERS = Path(__file__).resolve().parents[1] / "specs" / "clusters"


def find_cluster(name: str) -> Cluster:
    """The cluster of this name or file; mistakes in it are told like a spec's."""
    file = Path(name) if name.endswith((".yaml", ".yml")) else CLUSTERS / f"{name}.yaml"
    if not file.is_file():
        names = [path.stem for path in CLUSTERS.glob("*.yaml")]
        raise SpecError([Problem(None, "", f"no cluster {name!r}", "unknown-cluster", did_you_mean(name, names))])
    return read_record(file, Cluster)

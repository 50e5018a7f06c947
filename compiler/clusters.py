"""Cluster files by name: `specs/clusters/<name>.yaml`, or any path."""

import json
from collections.abc import Mapping
from pathlib import Path

from compiler.errors import Problem, SpecError, did_you_mean
from compiler.schema.cluster import SERVERS, Cluster
from compiler.validate import read_record

CLUSTERS = Path(__file__).resolve().parents[1] / "specs" / "clusters"


def find_cluster(name: str) -> Cluster:
    """The cluster of this name or file; mistakes in it are told like a spec's."""
    file = Path(name) if name.endswith((".yaml", ".yml")) else CLUSTERS / f"{name}.yaml"
    if not file.is_file():
        names = [path.stem for path in CLUSTERS.glob("*.yaml")]
        raise SpecError([Problem(None, "", f"no cluster {name!r}", "unknown-cluster", did_you_mean(name, names))])
    return read_record(file, Cluster)


def told_servers(environment: Mapping[str, str]) -> dict[str, str]:
    """Servers that the environment says, model -> url; jobs of this machine inherit it."""
    try:
        told = json.loads(environment.get(SERVERS, "{}"))
    except ValueError:
        told = None
    if not isinstance(told, dict) or not all(isinstance(url, str) for url in told.values()):
        message = f"the environment variable {SERVERS} is no JSON object of urls"
        hint = 'write {"some/model": "http://127.0.0.1:8000/v1"}'
        raise SpecError([Problem(None, "", message, "wrong-type", hint)])
    return told

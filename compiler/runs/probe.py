"""What a live Slurm says of itself, as a cluster file: plans are made against the file, with no Slurm at hand."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from compiler.render import render
from compiler.runs.queue import SlurmSilentError, ask


@dataclass(frozen=True)
class ProbedPartition:
    """A partition, as `scontrol show partition` tells it."""

    name: str
    max_walltime: str
    """Empty where there is none."""
    default_walltime: str
    nodes: int
    gives_way: bool
    """Whether its jobs may be preempted."""


@dataclass(frozen=True)
class Probed:
    """A site."""

    name: str
    partitions: Sequence[ProbedPartition]
    """The default one first."""
    nodes: int
    gpus_per_node: int
    gpu: str
    """GRES type; empty where nodes do not tell it."""
    cores_per_node: int
    memory_mb: int
    max_array_size: int
    max_job_count: int
    max_submit_jobs: str
    """Of our user's associations; empty where there is no limit, or no accounting."""


def probe() -> Probed:
    """Asks scontrol, sinfo and sacctmgr; raises SlurmSilentError."""
    config = dict(_settings(ask("scontrol", "show", "config")))
    partitions = sorted(_partitions(ask("scontrol", "show", "partition", "-o")), key=lambda found: not found[0])
    lines = ask("sinfo", "-h", "-N", "-o", "%N|%c|%m|%G").splitlines()
    nodes = {fields[0]: fields for line in lines if (fields := line.split("|"))}
    gpus = [_gpus(fields[3]) for fields in nodes.values()]
    most = max(gpus, default=(0, ""))
    return Probed(
        name=config.get("ClusterName", "cluster"),
        partitions=[partition for _, partition in partitions],
        nodes=sum(found == most for found in gpus),
        gpus_per_node=most[0],
        gpu=most[1],
        cores_per_node=max((int(fields[1]) for fields in nodes.values()), default=1),
        memory_mb=max((int(fields[2]) for fields in nodes.values()), default=0),
        max_array_size=int(config.get("MaxArraySize", "0")),
        max_job_count=int(config.get("MaxJobCount", "0")),
        max_submit_jobs=_max_submit_jobs(),
    )


def cluster_file(site: Probed) -> str:
    """The text of a cluster file; what no Slurm knows (speeds, prices) is marked for its reader to fill in."""
    return render("clusters/probed.yaml.j2", site=site, peak_flops=_peak(site.gpu), memory=_memory(site.gpu))


def _settings(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            yield name.strip(), value.strip()


def _partitions(text: str) -> Iterator[tuple[bool, ProbedPartition]]:
    for line in text.splitlines():
        fields = dict(word.split("=", 1) for word in line.split() if "=" in word)
        name = fields.get("PartitionName")
        if name:
            yield (
                fields.get("Default") == "YES",
                ProbedPartition(
                    name=name,
                    max_walltime=_time(fields.get("MaxTime", "")),
                    default_walltime=_time(fields.get("DefaultTime", "")),
                    nodes=int(fields.get("TotalNodes", "0")),
                    gives_way=fields.get("PreemptMode", "OFF") not in ("OFF", ""),
                ),
            )


def _time(text: str) -> str:
    return "" if text in ("", "NONE", "UNLIMITED") else text


def _gpus(gres: str) -> tuple[int, str]:
    """`gpu:h100:8(S:0-1)` -> (8, "h100")."""
    counts: dict[str, int] = {}
    for match in re.finditer(r"gpu:(?:(?P<type>[A-Za-z][\w.-]*):)?(?P<count>[0-9]+)", gres):
        counts[match["type"] or ""] = counts.get(match["type"] or "", 0) + int(match["count"])
    kind = max(counts, key=lambda name: counts[name], default="")
    return sum(counts.values()), kind


def _max_submit_jobs() -> str:
    """Not every site keeps associations, and not every user may read them: then nothing is known."""
    try:
        told = ask("sacctmgr", "-n", "-P", "show", "assoc", "format=MaxSubmitJobs")
    except SlurmSilentError:
        return ""
    numbers = [int(line) for line in told.split() if line.isdigit()]
    return str(min(numbers)) if numbers else ""


_DATASHEETS: Mapping[str, tuple[str, str]] = {
    "h100": ("989e12", "80G"),
    "h200": ("989e12", "141G"),
    "a100": ("312e12", "80G"),
    "b200": ("2250e12", "180G"),
    "gb200": ("2500e12", "186G"),
}
"""GPU -> dense 16-bit FLOP/s and memory, of NVIDIA's data sheets (SXM forms)."""


def _sheet(gpu: str) -> tuple[str, str]:
    return next((sheet for name, sheet in _DATASHEETS.items() if re.search(rf"\b{name}", gpu.lower())), ("", ""))


def _peak(gpu: str) -> str:
    return _sheet(gpu)[0]


def _memory(gpu: str) -> str:
    return _sheet(gpu)[1]

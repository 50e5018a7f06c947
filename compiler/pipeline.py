"""The passes in order: the table of contents of the compiler."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from compiler.clusters import find_cluster, told_servers
from compiler.elaborate import elaborate
from compiler.graph import StageGraph, build_graph
from compiler.load import load
from compiler.lower import Bundle, lower
from compiler.plan import Plan, make_plan
from compiler.planning.contents import check_at_hand, read_contents
from compiler.planning.inventory import Inventory, read_inventory
from compiler.planning.machine import machines_folder, read_machine
from compiler.planning.pins import read_pins
from compiler.review.limits import check_limits
from compiler.review.pins import check_pins
from compiler.review.support import check_runnable
from compiler.schema.cluster import Cluster
from compiler.submit import new_run_path, provenance, write_bundle
from compiler.validate import validate


def compile_graph(spec: Path, overrides: Sequence[str]) -> StageGraph:
    """File to graph: everything that can be said without knowing machines or what is sealed."""
    return build_graph(elaborate(validate(load(spec, overrides))))


def plan_graph(graph: StageGraph, inventory: Inventory, *, cluster: str, store: Path) -> Plan:
    """Graph to plan, against what was read of this store."""
    plan = make_plan(
        graph,
        _as_measured(find_cluster(cluster)),
        inventory,
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=_memory_bytes(),
        now=datetime.now(UTC),
        contents=read_contents(graph, store),
        pins=read_pins(graph, inventory),
    )
    check_pins(plan, graph, inventory)
    check_limits(plan, graph)
    return plan


def _as_measured(cluster: Cluster) -> Cluster:
    """A local cluster is this machine: with its own speed, where that was measured."""
    speed = read_machine(machines_folder(os.environ), platform.node()) if cluster.executor == "local" else None
    return cluster.model_copy(update={"cpu": speed}) if speed else cluster


def compile_plan(spec: Path, overrides: Sequence[str], *, cluster: str, store: Path, runnable: bool = False) -> Plan:
    """File to plan; with `runnable`, stages that this version cannot run are refused."""
    graph = compile_graph(spec, overrides)
    plan = plan_graph(graph, read_inventory(store), cluster=cluster, store=store)
    if runnable:
        check_runnable(plan, graph, told=told_servers(os.environ))
        check_at_hand(graph, (stage.label for stage in plan.to_run))
    return plan


def compile_bundle(plan: Plan, spec: Path, *, store: Path, run: Path) -> Bundle:
    """Plan to bundle, with the spec's text beside it."""
    extra: Mapping[str, str] = {"spec.yaml": spec.read_text(encoding="utf-8")}
    return lower(plan, store=store, run=run, provenance=provenance(spec, run), extra=extra)


def create_run(plan: Plan, spec: Path, *, store: Path) -> Path:
    """Writes the run directory of a plan and returns it."""
    run = new_run_path(store, plan.name, datetime.now())
    write_bundle(compile_bundle(plan, spec, store=store, run=run), run)
    return run


def _memory_bytes() -> int:
    """Of this machine, or of the control group that this process may not leave."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    group = Path("/sys/fs/cgroup/memory.max")
    limit = group.read_text(encoding="ascii").strip() if group.is_file() else "max"
    return min(whole, int(limit)) if limit.isdigit() else whole

"""The plan, a run's status and the ladder as tables."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from compiler.plan import Plan, PlannedStage, segments
from compiler.runs.status import RunStatus, StageStatus
from compiler.terminal.words import count, duration

_STATE_STYLE = {
    "done": "green",
    "reused": "green",
    "running": "cyan",
    "queued": "cyan",
    "failed": "bold red",
    "blocked": "red",
    "cancelled": "yellow",
    "waiting": "dim",
}


def plan_table(plan: Plan) -> Table:
    """One line for each stage."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("stage", "kind"):
        table.add_column(name, no_wrap=True)
    places = ("GPUs", "GB", "time", "GPU-hours") if plan.cluster.num_gpus else ("ranks", "time")
    for name in ("params", "rows", "tokens", "steps", "batch", *places):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("action", no_wrap=True)
    table.add_column("why", overflow="fold")
    for stage in plan.stages:
        table.add_row(*_plan_row(stage, plan), style="dim" if stage.action != "run" else None)
    return table


def _plan_row(stage: PlannedStage, plan: Plan) -> tuple[str, ...]:
    work = stage.work
    about = "~" if work.approximate else ""
    time = duration(stage.wall_s) if stage.action == "run" else ""
    if plan.cluster.num_gpus:
        parts = segments(stage, plan.cluster)
        time += f" in {parts} jobs" if time and parts > 1 else ""
        hours = f"{stage.gpu_hours:,.1f}" if stage.cost.gpus and stage.action == "run" else ""
        memory = f"{stage.memory.total / 1e9:.0f}" if stage.memory else ""
        places: tuple[str, ...] = (str(stage.cost.gpus or ""), memory, time, hours)
    else:
        places = (str(stage.placement.layout.world_size) if stage.parameters else "", time)
    return (
        stage.label,
        stage.kind,
        count(stage.parameters.total) if stage.parameters else "",
        about + count(work.rows) if work.rows else "",
        count(work.tokens or work.served_tokens),
        count(work.steps),
        count(work.global_batch_size),
        *places,
        stage.action,
        stage.reason,
    )


def plan_summary(plan: Plan) -> str:
    """The sums in one sentence."""
    running = len(plan.to_run)
    kept = len(plan.stages) - running
    if not running:
        return f"{kept} stages, all reused: nothing to run"
    start = f"{running} stages to run, {kept} reused: about {duration(plan.wall_s)} on"
    if plan.cluster.num_gpus:
        assert plan.cluster.gpu is not None
        return (
            f"{start} {plan.cluster.num_gpus:,} {plan.cluster.gpu.name} of {plan.cluster.name} "
            f"({plan.gpu_hours:,.0f} GPU-hours, {plan.price:,.0f} at {plan.cluster.gpu.price_per_hour:g} each)"
        )
    return f"{start} {plan.cores} cores of {plan.cluster.name} ({duration(3600 * plan.core_hours)} of core time)"


def status_table(status: RunStatus) -> Table:
    """One line for each stage of a run."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("tries", justify="right")
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for stage in status.stages:
        table.add_row(
            stage.name,
            stage.kind,
            Text(stage.state, style=_STATE_STYLE[stage.state]),
            str(stage.attempts or ""),
            duration(_seconds(stage)),
            stage.message or progress_words(stage),
        )
    return table


def progress_words(stage: StageStatus) -> str:
    """`120/350 step  loss 1.52  14200 tokens/s  2 min 04 s left`."""
    if stage.state != "running" or stage.progress is None:
        return ""
    told = dict(stage.progress)
    words = f"{told.get('done')}/{told.get('total')} {told.get('unit', '')}"
    if "loss" in told:
        words += f"  loss {told['loss']}"
    if "tokens_per_s" in told:
        words += f"  {told['tokens_per_s']} tokens/s"
    left = seconds_left(stage)
    return f"{words}  {duration(left)} left" if left is not None else words


def seconds_left(stage: StageStatus) -> float | None:
    """At the pace since the stage's start; None before it has told of anything, and of one that went on from before."""
    told = stage.progress or {}
    done, total = told.get("done"), told.get("total")
    if not done or not total or stage.started is None or stage.attempts != 1 or "time" not in told:
        return None
    return float((told["time"] - stage.started) * (total - done) / done)


def _seconds(stage: StageStatus) -> float | None:
    if stage.measured and "wall_s" in stage.measured:
        return float(stage.measured["wall_s"])
    if stage.started and stage.ended:
        return stage.ended - stage.started
    return None


def ladder_table(report: Mapping[str, Any]) -> Table:
    """The report's ladder: accuracy in percent with its 95 % interval, family by family greedy."""
    rows = report["rows"]
    families = sorted({family for row in rows for family in row["families"]})
    table = Table(title=report["title"], box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.add_column("stage", no_wrap=True)
    for name in ("greedy", "sampled", *families, "reward", "tokens"):
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        reward = row.get("reward")
        table.add_row(
            row["title"],
            _share(row["overall"]["greedy"], interval=True),
            _share(row["overall"]["sampled"], interval=True),
            *(_share(row["families"][family]["greedy"]) if family in row["families"] else "" for family in families),
            f"{reward:.2f}" if reward is not None else "",
            f"{row['mean_tokens']:.1f}",
        )
    return table


def _share(numbers: Mapping[str, float], *, interval: bool = False) -> str:
    text = f"{100 * numbers['accuracy']:.1f}"
    if not interval:
        return text
    return f"{text} ±{50 * (numbers['high'] - numbers['low']):.1f}"


def claims_text(report: Mapping[str, Any]) -> Text:
    """Each claim of the report in a sentence: whether it holds, and by how much."""
    text = Text()
    for claim in report["claims"]:
        mark, style = ("holds", "green") if claim["holds"] else ("DOES NOT HOLD", "bold red")
        low, middle, high = (100 * claim[name] for name in ("low", "difference", "high"))
        text.append(f"{mark}: ", style)
        text.append(
            f"{claim['better']} beats {claim['worse']} ({claim['decoding']}) by {middle:+.1f} points "
            f"[{low:+.1f}, {high:+.1f}]\n"
        )
    return text

"""The plan, a run's status and the ladder as tables."""

from collections.abc import Iterator, Mapping
from functools import partial
from operator import ne
from typing import Any

from rich.table import Table
from rich.text import Text

from compiler.plan import Allowance, Plan
from compiler.runs.status import RunStatus, StageStatus
from compiler.terminal.listing import Listing
from compiler.words import duration

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


_ACTION_MARK = {"run": "●", "reuse": "○", "skip": "-"}
_LEAST_WHY = 24
"""Letters of a reason that a line should have room for."""


def plan_table(listing: Listing, width: int) -> Table:
    """The rows as a table for a screen of this width: what runs stands out, what there is no room for is left out."""
    fitted = fitting(listing, width - 2)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    for column in fitted.columns:
        last = column.name == "why"
        table.add_column(
            column.name,
            justify="right" if column.right else "left",
            no_wrap=not last,
            overflow="fold" if last else "ellipsis",
        )
    for row in fitted.rows:
        mark = _ACTION_MARK.get(row.cells[0], "◐")
        table.add_row(Text(mark, "cyan" if row.runs else "green"), *row.cells, style=None if row.runs else "dim")
    return table


def fitting(listing: Listing, width: int) -> Listing:
    """Without the columns that can be spared, the most dispensable first, until the others and a reason have room."""
    spare = sorted((column for column in listing.columns if column.spare), key=lambda column: -column.spare)
    while spare and _width(listing) > width:
        gone = spare.pop(0)
        listing = listing.only(partial(ne, gone))
    return listing


def _width(listing: Listing) -> int:
    names = [column.name for column in listing.columns]
    widths = [
        min(width, _LEAST_WHY) if name == "why" else width for name, width in zip(names, listing.widths, strict=True)
    ]
    return sum(widths) + 2 * len(widths)


def plan_lines(listing: Listing) -> Iterator[str]:
    """The rows as plain lines, for a file or a pipe."""
    widths = listing.widths
    for cells in (tuple(column.name for column in listing.columns), *(row.cells for row in listing.rows)):
        aligned = (
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(cells, widths, listing.columns, strict=True)
        )
        yield "  ".join(aligned).rstrip()


def plan_summary(plan: Plan) -> str:
    """The sums in one sentence, and the chain of stages that sets the least time."""
    running = len(plan.to_run)
    kept = len(plan.stages) - running
    if not running:
        return f"{kept} stages, all reused: nothing to run"
    text = f"{running:,} stages to run, {kept:,} reused: about {duration(plan.wall_s)} on"
    if plan.cluster.num_gpus:
        assert plan.cluster.gpu is not None
        text += (
            f" {plan.cluster.num_gpus:,} {plan.cluster.gpu.name} of {plan.cluster.name} "
            f"({plan.gpu_hours:,.0f} GPU-hours, {plan.price:,.0f} at {plan.cluster.gpu.price_per_hour:g} each)"
        )
    else:
        text += f" {plan.cores} cores of {plan.cluster.name} ({duration(3600 * plan.core_hours)} of core time)"
    spent = f"\nof the budget: {budget_words(plan)}" if plan.allowances else ""
    return f"{text}\n{longest_chain(plan)}{spent}"


def budget_words(plan: Plan) -> str:
    """`812 of 1,000 GPU-hours (81 %), 3 h 05 min of 6 h 00 min (51 %)`."""
    return ", ".join(_spent(field, allowance) for field, allowance in plan.allowances.items())


def _spent(field: str, allowance: Allowance) -> str:
    takes, most = allowance
    places = 1 if most < 100 else 0
    shown = f"{takes:,.{places}f} of {most:,.{places}f}".removesuffix(".0")
    match field:
        case "gpu_hours":
            words = f"{shown} GPU-hours"
        case "wall_hours":
            words = f"{duration(3600 * takes)} of {duration(3600 * most)}"
        case _:
            words = f"cost {shown}"
    return f"{words} ({100 * takes / most:.0f} %)" if most else words


_ENDS = 3


def longest_chain(plan: Plan) -> str:
    """`longest chain: 1 h 02 min, tokenizer → base → … 12 more … → exam → report`."""
    chain = plan.critical
    seconds = max((plan.urgency[label] for label in chain), default=0.0)
    between = len(chain) - 2 * _ENDS
    shown = chain if between < 2 else (*chain[:_ENDS], f"… {between} more …", *chain[-_ENDS:])
    return f"longest chain: {duration(seconds)}, {' → '.join(shown)}"


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
    if "rows_per_s" in told:
        words += f"  {told['rows_per_s']} rows/s"
    if "tokens_per_s" in told:
        words += f"  {told['tokens_per_s']} tokens/s"
    return f"{words}  {duration(stage.left_s)} left" if stage.left_s is not None else words


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
    judged = ("reward", "grade") if any(row.get("grade") for row in rows) else ("reward",)
    for name in ("greedy", "sampled", *families, *judged, "tokens"):
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        found = (row.get("reward"), (row.get("grade") or {}).get("mean"))[: len(judged)]
        table.add_row(
            row["title"],
            _share(row["overall"]["greedy"], interval=True),
            _share(row["overall"]["sampled"], interval=True),
            *(_share(row["families"][family]["greedy"]) if family in row["families"] else "" for family in families),
            *("" if one is None else f"{one:.2f}" for one in found),
            f"{row['mean_tokens']:.1f}",
        )
    return table


def judges_table(report: Mapping[str, Any]) -> Table:
    """Judges on labelled pairs: of those that each decided the share that was right, in percent, family by family."""
    judges = report["data"]["examinations"]
    families = sorted({family for one in judges for family in one["families"]})
    table = Table(title="Judges on labelled pairs", box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.add_column("judge", no_wrap=True)
    for name in ("pairs", "decided", "right", "score", *families):
        table.add_column(name.replace("_", " "), justify="right")
    for one in judges:
        score = one["mean_of_families"]
        table.add_row(
            one["judge"],
            str(one["pairs"]),
            str(one["right"] + one["wrong"]),
            _share(one, interval=True),
            "" if score is None else f"{100 * score:.1f}",
            *(
                _share(one["families"][family], interval=True) if family in one["families"] else ""
                for family in families
            ),
        )
    return table


def _share(numbers: Mapping[str, float | None], *, interval: bool = False) -> str:
    """Nothing where no program can check an answer, or a judge decided nothing."""
    if numbers["accuracy"] is None or numbers["low"] is None or numbers["high"] is None:
        return ""
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

"""A plan as rows of words: what the table on a screen, the lines of a pipe and a pull request's Markdown show alike."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from compiler.draw.picture import Frame, folded, make_picture
from compiler.plan import Plan, PlannedStage, price, segments
from compiler.words import count, duration


@dataclass(frozen=True)
class Column:
    """One column of the listing."""

    name: str
    right: bool = False
    spare: int = 0
    """From 1 on: may be left out where there is no room, the highest first."""


@dataclass(frozen=True)
class Row:
    """One stage, or the stages of a folded frame together."""

    cells: tuple[str, ...]
    """As many as there are columns."""
    runs: bool
    """Whether anything of it runs."""


@dataclass(frozen=True)
class Listing:
    """The rows, without the columns that say nothing."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    left_out: int = 0
    """Stages that no row stands for."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Letters that each column takes."""
        heads = tuple(column.name for column in self.columns)
        return tuple(max(map(len, cells)) for cells in zip(heads, *(row.cells for row in self.rows), strict=True))

    def only(self, wanted: Callable[[Column], bool]) -> "Listing":
        """The same rows with some of the columns."""
        kept = [number for number, column in enumerate(self.columns) if wanted(column)]
        rows = tuple(Row(tuple(row.cells[number] for number in kept), row.runs) for row in self.rows)
        return Listing(tuple(self.columns[number] for number in kept), rows, self.left_out)


_COLUMNS: tuple[Column, ...] = (
    Column("action"),
    Column("stage"),
    Column("kind"),
    Column("params", right=True, spare=1),
    Column("rows", right=True, spare=3),
    Column("tokens", right=True, spare=2),
    Column("steps", right=True, spare=4),
    Column("batch", right=True, spare=5),
    Column("ranks", right=True),
    Column("GPUs", right=True),
    Column("GB", right=True),
    Column("time", right=True),
    Column("GPU-hours", right=True),
    Column("cost", right=True),
    Column("why"),
)
_KIND_COLUMNS: tuple[Column, ...] = (
    Column("kind"),
    *(Column(name, right=True) for name in ("run", "reuse", "GPUs", "time", "GPU-hours", "cost")),
)


def listed(plan: Plan, *, most: int | None = None) -> Listing:
    """A row for each stage. With `most`, frames are folded until about so many rows are left, and the rest is left out
    from the end on."""
    found = list(_rows(plan, most))
    shown = found if most is None else found[:most]
    left_out = sum(stages for _, stages in found[len(shown) :])
    return _without_empty(_COLUMNS, [row for row, _ in shown], left_out)


def by_kind(plan: Plan) -> Listing:
    """The sums of each stage kind, the longest first."""
    kinds: dict[str, list[PlannedStage]] = {}
    for stage in plan.stages:
        kinds.setdefault(stage.kind, []).append(stage)
    rows = []
    for kind, stages in sorted(kinds.items(), key=lambda one: -_seconds(one[1])):
        runs = sum(stage.action == "run" for stage in stages)
        cells = {**_sums(stages, plan), "kind": kind, "run": str(runs), "reuse": str(len(stages) - runs)}
        rows.append(Row(tuple(cells[column.name] for column in _KIND_COLUMNS), runs > 0))
    return _without_empty(_KIND_COLUMNS, rows)


def _without_empty(columns: Sequence[Column], rows: Sequence[Row], left_out: int = 0) -> Listing:
    said = {column for number, column in enumerate(columns) if any(row.cells[number] for row in rows)}
    return Listing(tuple(columns), tuple(rows), left_out).only(lambda column: column in said)


def _rows(plan: Plan, most: int | None) -> Iterator[tuple[Row, int]]:
    """Each row, and the number of stages that it stands for."""
    if most is None or len(plan.stages) <= most:
        yield from ((_row(stage, plan), 1) for stage in plan.stages)
        return
    picture = make_picture(plan.name, ((stage.label, stage.kind, stage.needs) for stage in plan.stages))
    yield from _folded_rows(picture.root, folded(picture, most), {stage.label: stage for stage in plan.stages}, plan)


def _folded_rows(
    frame: Frame, closed: frozenset[str], stages: dict[str, PlannedStage], plan: Plan
) -> Iterator[tuple[Row, int]]:
    for member in frame.members:
        if not isinstance(member, Frame):
            yield _row(stages[member.label], plan), 1
        elif member.id in closed:
            inside = [stages[node.label] for node in member.nodes()]
            yield _folded_row(member, inside, plan), len(inside)
        else:
            yield from _folded_rows(member, closed, stages, plan)


def _title(frame: Frame) -> str:
    rounds = f", {frame.num_rounds} rounds" if frame.num_rounds else ""
    return f"{frame.title}: {sum(1 for _ in frame.nodes()):,} stages{rounds}"


def _row(stage: PlannedStage, plan: Plan) -> Row:
    work, runs, gpus = stage.work, stage.action == "run", plan.cluster.num_gpus
    about = "~" if work.approximate else ""
    parts = segments(stage, plan.cluster)
    cells = {
        **_sums([stage], plan),
        "action": stage.action,
        "stage": stage.label,
        "kind": stage.kind,
        "params": count(stage.parameters.total) if stage.parameters else "",
        "rows": about + count(work.rows) if work.rows else "",
        "tokens": count(work.tokens or work.served_tokens),
        "steps": count(work.steps),
        "batch": count(work.global_batch_size),
        "ranks": _at_its_legs(stage) if stage.parameters and not gpus else "",
        "GB": f"{stage.memory.total / 1e9:.0f}" if stage.memory else "",
        "why": stage.reason,
    }
    if stage.cost.gpus and len(stage.legs) > 1:
        cells["GPUs"] = _at_its_legs(stage)
    if runs and parts > 1:
        cells["time"] += f" in {parts} jobs"
    return Row(tuple(cells[column.name] for column in _COLUMNS), runs)


def _at_its_legs(stage: PlannedStage) -> str:
    """Ranks, or the fewest and the most that it has as it goes on."""
    ranks = [leg.ranks for leg in stage.legs]
    return f"{min(ranks):,}-{max(ranks):,}" if len(ranks) > 1 else f"{ranks[0]}"


def _folded_row(frame: Frame, stages: Sequence[PlannedStage], plan: Plan) -> Row:
    reasons = Counter(map(_reason, stages))
    cells = {
        **_sums(stages, plan),
        "action": " + ".join(dict.fromkeys(stage.action for stage in stages)),
        "stage": _title(frame),
        "why": ", ".join(f"{number:,} {reason}" for reason, number in reasons.most_common()),
    }
    return Row(tuple(cells.get(column.name, "") for column in _COLUMNS), any(stage.action == "run" for stage in stages))


def _reason(stage: PlannedStage) -> str:
    """A reason without what is one stage's own."""
    match stage.action:
        case "run":
            return "new" if stage.reason == "new" else "changed"
        case "reuse":
            return "pinned" if stage.pinned else "sealed" if stage.same_as == stage.label else "the same as others"
        case _:
            return "not needed"


def _sums(stages: Sequence[PlannedStage], plan: Plan) -> dict[str, str]:
    """What stages take together, their times one after the other."""
    running = [stage for stage in stages if stage.action == "run"]
    gpus = max((stage.cost.gpus for stage in stages), default=0) if plan.cluster.num_gpus else 0
    hours = sum(stage.gpu_hours for stage in running)
    money = sum(price(stage, plan.cluster) for stage in running)
    return {
        "GPUs": f"{gpus:,}" if gpus else "",
        "time": duration(_seconds(stages)) if running else "",
        "GPU-hours": f"{hours:,.1f}" if hours >= 0.05 else "",
        "cost": f"{money:,.0f}" if money >= 0.5 else "",
    }


def _seconds(stages: Sequence[PlannedStage]) -> float:
    return sum(stage.wall_s for stage in stages if stage.action == "run")

"""Where the marks of each chart stand, in SVG units. Numbers only: templates draw them, style sheets colour them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10
from typing import Any

from runtime.ladder import DECODINGS, GREEDY
from runtime.report.curves import TRAINING
from runtime.report.words import compact, duration, percent, plain, signed


@dataclass(frozen=True)
class Tick:
    """A mark on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Mark:
    """An estimate, its interval, and the single estimates of a sweep's points."""

    name: str
    """The decoding."""
    at: float
    low: float
    high: float
    across: float
    """The other coordinate."""
    tip: str
    points: tuple[float, ...] = ()


@dataclass(frozen=True)
class LadderRow:
    """One row of the ladder's chart."""

    number: int
    title: str
    middle: float
    starts_anew: bool
    """Whether the policy was not trained from the row above."""
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class LadderChart:
    """Rows from top to bottom, accuracy from left to right."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    ticks: tuple[Tick, ...]
    rows: tuple[LadderRow, ...]


@dataclass(frozen=True)
class ClaimChart:
    """One strip for each claim; all strips share a scale."""

    width: float
    height: float
    zero: float
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Line:
    """One line, and a band between its low and high."""

    name: str
    path: str
    band: str
    tip: str


@dataclass(frozen=True)
class LineChart:
    """A small chart of lines over steps, or of a family's accuracy over rows."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...] = ()
    marks: tuple[Mark, ...] = ()
    breaks: tuple[Tick, ...] = ()
    """Where phases begin."""
    zero: float | None = None


@dataclass(frozen=True)
class Bar:
    """One stage's time in a run."""

    x: float
    y: float
    width: float
    planned: float
    """Width of what was planned, within the chart; 0 where nothing was."""
    group: str
    """training, sampling or data"""
    label: str
    """Empty where it does not fit."""
    tip: str


@dataclass(frozen=True)
class RunChart:
    """A run's stages side by side, as they ran."""

    width: float
    height: float
    bar_height: float
    bottom: float
    ticks: tuple[Tick, ...]
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class _Scale:
    """Values to coordinates."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        width = self.high - self.low
        share = (value - self.low) / width if width else 0.5
        return round(self.start + share * (self.end - self.start), 2)


def nice_ticks(low: float, high: float, count: int) -> tuple[float, ...]:
    """About `count` round numbers from at most `low` to at least `high`."""
    span = high - low
    if span <= 0:
        return nice_ticks(low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2, count)
    rough = span / max(1, count)
    size = 10.0 ** floor(log10(rough))
    step = size * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * size >= rough * 0.999999)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return tuple(round(number * step, 12) for number in range(first, last + 1))


# --- the ladder ---------------------------------------------------------------------------------------------------

_ROW_HEIGHT = 34


def ladder_chart(rows: Sequence[Mapping[str, Any]]) -> LadderChart:
    """Dots and intervals of both decodings."""
    left, right, top = 252.0, 1100.0, 30.0
    bottom = top + _ROW_HEIGHT * len(rows)
    ends = [row["overall"][name][end] for row in rows for name in DECODINGS for end in ("low", "high")]
    ends += [one[name]["accuracy"] for row in rows for one in row["evaluations"] for name in DECODINGS]
    shares = [share for share in ends if share is not None]
    ticks = nice_ticks(min(shares, default=0.0), max(shares, default=1.0), 6)
    scale = _Scale(ticks[0], ticks[-1], left, right)
    return LadderChart(
        width=1124,
        height=bottom + 26,
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        ticks=tuple(Tick(scale(share), f"{100 * share:g} %") for share in ticks if -0.001 <= share <= 1.001),
        rows=tuple(_ladder_row(number, row, top, scale) for number, row in enumerate(rows)),
    )


def _ladder_row(number: int, row: Mapping[str, Any], top: float, scale: _Scale) -> LadderRow:
    middle = top + _ROW_HEIGHT * (number + 0.5)
    starts_anew = row["gain"] is not None and not row["gain"]["continues"]
    marks = []
    for offset, name in zip((-6, 6), DECODINGS, strict=True):
        numbers = row["overall"][name]
        if numbers["accuracy"] is None:
            continue
        points = [share for one in row["evaluations"] if (share := one[name]["accuracy"]) is not None]
        marks.append(
            Mark(
                name=name,
                at=scale(numbers["accuracy"]),
                low=scale(numbers["low"]),
                high=scale(numbers["high"]),
                across=middle + offset,
                tip=f"{row['title']}, {name}: {_with_interval(numbers)}",
                points=tuple(map(scale, points)) if len(points) > 1 else (),
            )
        )
    return LadderRow(number + 1, row["title"], middle, starts_anew, tuple(marks))


def family_chart(family: str, rows: Sequence[Mapping[str, Any]]) -> LineChart:
    """Greedy accuracy of one family over the rows, joined where a policy was trained from the row before."""
    width, height, left, top = 290.0, 150.0, 34.0, 10.0
    right, bottom = width - 8, height - 24
    up = _Scale(0, 1, bottom, top)
    over = _Scale(0.5, len(rows) + 0.5, left, right)
    found = [(number, row) for number, row in enumerate(rows, start=1) if checked(row, family)]
    marks = [_family_mark(family, number, row, over, up) for number, row in found]
    segments = "".join(
        f"M{over(one)},{up(_share(before, family))}L{over(other)},{up(_share(after, family))}"
        for (one, before), (other, after) in pairwise(found)
        if other == one + 1 and after["gain"]["continues"]
    )
    return LineChart(
        width, height, left, right, top, bottom,
        x_ticks=tuple(Tick(over(number), str(number)) for number, _ in found),
        y_ticks=tuple(Tick(up(share), f"{100 * share:g}") for share in (0, 0.5, 1)),
        lines=(Line(GREEDY, segments, "", family),),
        marks=tuple(marks),
    )  # fmt: skip


def _family_mark(family: str, number: int, row: Mapping[str, Any], over: _Scale, up: _Scale) -> Mark:
    numbers = row["families"][family][GREEDY]
    tip = f"{number}. {row['title']}, {family}, greedy: {_with_interval(numbers)}"
    return Mark(GREEDY, up(numbers["accuracy"]), up(numbers["low"]), up(numbers["high"]), over(number), tip)


def checked(row: Mapping[str, Any], family: str) -> bool:
    """Whether a program checked answers of this family."""
    return family in row["families"] and row["families"][family][GREEDY]["accuracy"] is not None


def _share(row: Mapping[str, Any], family: str) -> float:
    return float(row["families"][family][GREEDY]["accuracy"])


def _with_interval(numbers: Mapping[str, Any]) -> str:
    low, high = percent(numbers["low"]), percent(numbers["high"])
    return f"{percent(numbers['accuracy'])} % [{low}, {high}], {numbers['passed']} of {numbers['checked']}"


def claim_chart(claims: Sequence[Mapping[str, Any]]) -> ClaimChart:
    """The differences of all claims on one scale, which has zero on it."""
    ends = [0.0, *(claim[end] for claim in claims for end in ("low", "high"))]
    scale = _Scale(min(ends), max(ends), 8, 232)
    marks = tuple(
        Mark(
            name="holds" if claim["holds"] else "fails",
            at=scale(claim["difference"]),
            low=scale(claim["low"]),
            high=scale(claim["high"]),
            across=10,
            tip=f"{signed(claim['difference'])} points [{signed(claim['low'])}, {signed(claim['high'])}]",
            points=tuple(scale(point["difference"]) for point in claim["points"]) if len(claim["points"]) > 1 else (),
        )
        for claim in claims
    )
    return ClaimChart(240, 20, scale(0), marks)


# --- training curves ----------------------------------------------------------------------------------------------


def loss_chart(curve: Mapping[str, Any]) -> LineChart | None:
    """Loss over steps, a line for each point of a sweep; None where no loss was finite."""
    series = {line["point"] or "loss": line["loss"] for line in curve["lines"] if line["loss"]}
    if not series:
        return None
    return _line_chart(series, [(phase["name"], phase["first_step"]) for phase in curve["phases"][1:]])


def shift_chart(curve: Mapping[str, Any]) -> LineChart | None:
    """How far chosen and rejected answers moved from the reference; None where the stage has no such metric."""
    shifts = {name: points for name, points in curve["lines"][0]["shifts"].items() if points}
    return _line_chart({name.removesuffix("_shift"): points for name, points in shifts.items()}, []) if shifts else None


def _line_chart(series: Mapping[str, Sequence[Mapping[str, float]]], breaks: Sequence[tuple[str, int]]) -> LineChart:
    width, height, left, top = 290.0, 150.0, 40.0, 10.0
    right, bottom = width - 8, height - 24
    every = [point for points in series.values() for point in points]
    y_ticks = nice_ticks(min(point["low"] for point in every), max(point["high"] for point in every), 4)
    last = max(point["step"] for point in every)
    x_ticks = [tick for tick in nice_ticks(0, last, 4) if tick <= last and tick == int(tick)]
    over, up = _Scale(0, max(last, 1), left, right), _Scale(y_ticks[0], y_ticks[-1], bottom, top)
    return LineChart(
        width, height, left, right, top, bottom,
        x_ticks=tuple(Tick(over(tick), compact(tick)) for tick in x_ticks),
        y_ticks=tuple(Tick(up(tick), plain(tick)) for tick in y_ticks),
        lines=tuple(_line(name, points, over, up) for name, points in series.items()),
        breaks=tuple(Tick(over(step), name) for name, step in breaks),
        zero=up(0) if y_ticks[0] < 0 < y_ticks[-1] else None,
    )  # fmt: skip


def _line(name: str, points: Sequence[Mapping[str, float]], over: _Scale, up: _Scale) -> Line:
    there = [f"{over(point['step'])},{up(point['mean'])}" for point in points]
    above = [f"{over(point['step'])},{up(point['high'])}" for point in points]
    below = [f"{over(point['step'])},{up(point['low'])}" for point in reversed(points)]
    thinned = any(point["low"] < point["high"] for point in points)
    band = f"M{'L'.join([*above, *below])}Z" if thinned else ""
    return Line(name, f"M{'L'.join(there)}", band, f"{name}: {points[0]['mean']:.4g} to {points[-1]['mean']:.4g}")


# --- a run's time -------------------------------------------------------------------------------------------------

_LANE, _BAR = 20.0, 16.0
_GROUPS = {**dict.fromkeys(TRAINING, "training"), "generate": "sampling", "evaluate": "sampling"}
_LETTER = 6.2
"""Width of a letter in a bar's label, about."""


def run_chart(run: Mapping[str, Any]) -> RunChart:
    """Stages from left to right, those that ran at the same time one below the other."""
    width, left, top = 1120.0, 8.0, 6.0
    ticks = time_ticks(run["elapsed_s"])
    over = _Scale(0, max(run["elapsed_s"], 1e-9), left, width - 40)
    lanes = lanes_of([(bar["start_s"], bar["start_s"] + bar["wall_s"]) for bar in run["bars"]])
    bars = tuple(_bar(bar, over, top + _LANE * lane) for bar, lane in zip(run["bars"], lanes, strict=True))
    bottom = top + _LANE * (max(lanes, default=0) + 1)
    return RunChart(
        width,
        bottom + 20,
        _BAR,
        bottom,
        tuple(Tick(over(tick), duration(tick) if tick else "0") for tick in ticks),
        bars,
    )


def time_ticks(elapsed_s: float, most: int = 10) -> list[int]:
    """Zero and at most `most` times after it, at distances that clocks use."""
    distances = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200)
    distance = next((each for each in distances if elapsed_s / each <= most), 86_400 * ceil(elapsed_s / most / 86_400))
    return list(range(0, int(elapsed_s) + 1, distance))


def lanes_of(spans: Sequence[tuple[float, float]], slack: float = 1.0) -> list[int]:
    """The first lane that is free at each start, in order of starts; seals are told to the second, hence the slack."""
    ends: list[float] = []
    lanes = []
    for start, end in spans:
        lane = next((number for number, until in enumerate(ends) if until <= start + slack), len(ends))
        ends[lane : lane + 1] = [max(end, start)]
        lanes.append(lane)
    return lanes


def _bar(bar: Mapping[str, Any], over: _Scale, y: float) -> Bar:
    x = over(bar["start_s"])
    width = max(1.5, round(over(bar["start_s"] + bar["wall_s"]) - x, 2))
    label = bar["label"] if len(bar["label"]) * _LETTER + 6 < width else ""
    told = f", planned {duration(bar['planned_s'])}" if bar["planned_s"] else ""
    tip = f"{bar['label']} ({bar['kind']}): {duration(bar['wall_s'])}{told}, from {duration(bar['start_s'])}"
    planned = round(min(over(bar["start_s"] + bar["planned_s"]), over.end) - x, 2) if bar["planned_s"] else 0.0
    return Bar(x, y, width, planned, _GROUPS.get(bar["kind"], "data"), label, tip)

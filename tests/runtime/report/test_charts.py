import pytest

from runtime.report.charts import lanes_of, nice_ticks, run_chart, time_ticks
from runtime.report.curves import thin
from runtime.report.samples import choose
from runtime.report.words import compact, duration, scientific, signed


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.13, 0.88, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (0.4, 2.1, (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)),
        (-9.2, 0.3, (-10.0, -7.5, -5.0, -2.5, 0.0, 2.5)),
    ],
)
def test_ticks_are_round_and_enclose_the_values(low: float, high: float, expected: tuple[float, ...]) -> None:
    assert nice_ticks(low, high, 4) == expected


def test_a_constant_still_has_an_axis() -> None:
    for value in (0.0, 3.0, -2.0):
        ticks = nice_ticks(value, value, 4)
        assert ticks[0] < value < ticks[-1]


def test_a_short_curve_is_kept_as_it_is() -> None:
    assert thin([3.0, 2.0]) == [
        {"step": 0, "mean": 3.0, "low": 3.0, "high": 3.0},
        {"step": 1, "mean": 2.0, "low": 2.0, "high": 2.0},
    ]
    assert thin([]) == []


def test_a_long_curve_is_thinned_without_losing_a_step() -> None:
    values = [float(step % 7) for step in range(1003)]
    points = thin(values, most=200)
    assert len(points) == 200
    assert (points[0]["low"], max(point["high"] for point in points)) == (0, 6)
    assert points[-1]["step"] <= 1002
    assert sum(point["mean"] for point in points) / 200 == pytest.approx(sum(values) / len(values), abs=0.01)


def test_a_loss_that_diverged_leaves_a_gap_not_a_crash() -> None:
    assert [point["step"] for point in thin([1.0, float("nan"), float("inf"), 2.0])] == [0, 3]


def test_below_a_stages_bar_a_line_is_as_long_as_was_planned_and_stays_in_the_chart() -> None:
    times = {
        "half": (0.0, 50.0, 25.0),
        "twice": (50.0, 10.0, 20.0),
        "unplanned": (60.0, 20.0, None),
        "over": (80, 20, 90),
    }
    bars = [
        {"label": label, "kind": "sft", "start_s": start, "wall_s": wall, "planned_s": planned}
        for label, (start, wall, planned) in times.items()
    ]
    half, twice, unplanned, over = run_chart({"elapsed_s": 100.0, "bars": bars}).bars
    assert half.planned == pytest.approx(half.width / 2, abs=0.01)
    assert twice.planned == pytest.approx(2 * twice.width, abs=0.02)
    assert unplanned.planned == 0
    assert over.planned == over.width  # of which the chart has room for no more


def test_stages_that_ran_at_once_take_lanes_and_free_them() -> None:
    assert lanes_of([(0, 10), (2, 5), (6, 9), (7, 8), (20, 30)], slack=0) == [0, 1, 1, 2, 0]


def test_time_is_marked_at_distances_that_clocks_use() -> None:
    assert time_ticks(0.4) == [0]
    assert time_ticks(634) == [0, 120, 240, 360, 480, 600]
    assert time_ticks(30 * 86_400)[1] == 3 * 86_400


def test_samples_are_dealt_one_kind_at_a_time() -> None:
    dealt = choose({"gained": ["a", "b", "c"], "lost": ["d"], "right": [], "wrong": ["e", "f"]}, count=4)
    assert dealt == [("gained", "a"), ("gained", "b"), ("lost", "d"), ("wrong", "e")]
    assert choose({"gained": [], "lost": []}) == []


def test_numbers_read_well() -> None:
    assert [signed(share) for share in (0.0414, -0.003, 0.0001, -0.0001)] == ["+4.1", "\N{MINUS SIGN}0.3", "0.0", "0.0"]
    assert [compact(number) for number in (960, 12_345, 780_000, 1_234_567)] == ["960", "12.3k", "780k", "1.23M"]
    assert [scientific(rate) for rate in (3e-4, 1.5e-3, 0.0)] == ["3e-4", "1.5e-3", "0"]
    assert [duration(seconds) for seconds in (0.42, 9.96, 59.6, 250, 11_100)] == [
        "0.4 s", "10 s", "1 min 00 s", "4 min 10 s", "3 h 05 min",
    ]  # fmt: skip

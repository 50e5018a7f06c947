from math import sqrt

import pytest

from runtime.intervals import paired_difference, wilson

Z = 1.959963984540054
ROUNDING = 1e-12


@pytest.mark.parametrize(
    ("passed", "count", "low", "high"),
    # Closed forms at the ends; the third is Newcombe's (1998) example: 81 of 263.
    [(0, 10, 0.0, Z**2 / (10 + Z**2)), (10, 10, 10 / (10 + Z**2), 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_is_the_published_interval(passed: int, count: int, low: float, high: float) -> None:
    found = wilson(passed, count)
    assert found.estimate == passed / count
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize(("passed", "count"), [(1, 7), (30, 50), (2399, 2400)])
def test_a_share_at_either_bound_is_z_standard_errors_away_from_what_was_seen(passed: int, count: int) -> None:
    found = wilson(passed, count)
    for bound in (found.low, found.high):
        assert abs(found.estimate - bound) == pytest.approx(Z * sqrt(bound * (1 - bound) / count))


def test_an_interval_of_a_share_never_leaves_zero_to_one() -> None:
    for count in (1, 2, 50, 2400):
        for passed in {0, 1, count - 1, count}:
            low, estimate, high = wilson(passed, count)
            assert 0 <= low <= estimate + ROUNDING
            assert estimate - ROUNDING <= high <= 1


def test_swapping_passes_and_failures_mirrors_the_interval() -> None:
    one, other = wilson(7, 40), wilson(33, 40)
    assert (one.low, one.high) == (pytest.approx(1 - other.high), pytest.approx(1 - other.low))


def test_a_share_of_nothing_has_no_interval() -> None:
    with pytest.raises(ZeroDivisionError):
        wilson(0, 0)


def test_the_paired_difference_is_the_mean_gap_and_its_standard_error() -> None:
    # Gaps 1, 1, 0, -1: mean 1/4, variance (2 * 9/16 + 1/16 + 25/16) / 3 = 11/12.
    low, middle, high = paired_difference([1, 1, 1, 0], [0, 0, 1, 1])
    assert middle == 0.25
    assert high - middle == pytest.approx(middle - low) == pytest.approx(Z * sqrt(11 / 12 / 4))


def test_equal_answers_differ_by_nothing_for_certain() -> None:
    assert paired_difference([1, 0, 1], [1, 0, 1]) == (0, 0, 0)


def test_swapping_the_two_turns_the_difference_round() -> None:
    one, other = paired_difference([1, 1, 0, 1], [0, 1, 0, 0]), paired_difference([0, 1, 0, 0], [1, 1, 0, 1])
    assert (one.low, one.estimate, one.high) == pytest.approx((-other.high, -other.estimate, -other.low))


def test_samples_of_unequal_length_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([1, 0], [1])

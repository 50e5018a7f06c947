"""95 % intervals of shares and of paired differences."""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

_Z = NormalDist().inv_cdf(0.975)


class Interval(NamedTuple):
    """An estimate between its bounds."""

    low: float
    estimate: float
    high: float


def wilson(passed: int, count: int) -> Interval:
    """Wilson's score interval of a binomial share (Wilson 1927); `count` must be positive."""
    share = passed / count
    scale = 1 + _Z**2 / count
    centre = (share + _Z**2 / (2 * count)) / scale
    half = _Z * sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2)) / scale
    return Interval(max(0.0, centre - half), share, min(1.0, centre + half))


def paired_difference(one: Sequence[float], other: Sequence[float]) -> Interval:
    """Mean of (one - other) over the same prompts (two at least), normal interval on the mean of the differences."""
    gaps = [a - b for a, b in zip(one, other, strict=True)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - 1)
    half = _Z * sqrt(variance / len(gaps))
    return Interval(mean - half, mean, mean + half)

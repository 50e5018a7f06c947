"""How many rows each of several sources gives: whole numbers that sum to the count, near the weights."""

from collections.abc import Mapping
from math import floor


def quotas(weights: Mapping[str, float], count: int) -> dict[str, int]:
    """Largest remainders; ties go to the name that sorts first. Sorted by name, whatever the order of the weights."""
    names = sorted(weights)
    total = sum(weights[name] for name in names)
    exact = {name: count * weights[name] / total for name in names}
    whole = {name: floor(exact[name]) for name in names}
    missing = count - sum(whole.values())
    nearest = sorted(names, key=lambda name: (whole[name] - exact[name], name))
    return {name: whole[name] + (name in nearest[:missing]) for name in names}

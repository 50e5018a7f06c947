import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.generators.quotas import quotas

weights = st.dictionaries(st.text(max_size=3), st.floats(0.01, 100), min_size=1, max_size=8)


@given(weights, st.integers(0, 100_000))
def test_quotas_sum_to_the_count_and_miss_no_share_by_a_row(weights: dict[str, float], count: int) -> None:
    found = quotas(weights, count)
    assert sum(found.values()) == count
    total = sum(weights[name] for name in sorted(weights))
    assert all(abs(found[name] - count * weights[name] / total) < 1 + 1e-6 for name in weights)


@given(weights, st.integers(0, 1000))
def test_the_order_of_the_weights_does_not_matter(weights: dict[str, float], count: int) -> None:
    assert list(quotas(dict(reversed(weights.items())), count).items()) == list(quotas(weights, count).items())


@pytest.mark.parametrize(
    ("weights", "count", "expected"),
    [
        ({"a": 1, "b": 1}, 3, {"a": 2, "b": 1}),
        ({"b": 1, "a": 2}, 9, {"a": 6, "b": 3}),
        ({"a": 0.9, "b": 0.1}, 1600, {"a": 1440, "b": 160}),
    ],
)
def test_quotas_by_example(weights: dict[str, float], count: int, expected: dict[str, int]) -> None:
    assert quotas(weights, count) == expected

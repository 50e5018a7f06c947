import numpy as np

from runtime.randomness import uniforms


def test_numbers_depend_on_the_key_and_nothing_else() -> None:
    assert np.array_equal(uniforms(8, 1, "row"), uniforms(8, 1, "row"))
    assert not np.array_equal(uniforms(8, 1, "row"), uniforms(8, 2, "row"))
    assert np.array_equal(uniforms(4, 1, "row"), uniforms(8, 1, "row")[:4])


def test_key_parts_do_not_run_together() -> None:
    assert not np.array_equal(uniforms(4, "a", "bc"), uniforms(4, "ab", "c"))


def test_numbers_are_uniform() -> None:
    many = np.concatenate([uniforms(10, 0, row) for row in range(2000)])
    assert many.min() >= 0 and many.max() < 1
    # Standard error of the mean is 0.002.
    assert abs(many.mean() - 0.5) < 0.01

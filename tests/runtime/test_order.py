import pytest

from runtime.order import EpochOrder


def test_every_epoch_sees_every_row_once() -> None:
    order = EpochOrder(num_rows=12, batch_size=4, seed=3)
    epochs = [[row for step in range(3 * epoch, 3 * epoch + 3) for row in order.rows(step)] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_epochs_follow_without_a_seam_when_batches_do_not_divide_rows() -> None:
    order = EpochOrder(num_rows=5, batch_size=4, seed=1)
    seen = [row for step in range(5) for row in order.rows(step)]
    assert sorted(seen) == sorted(list(range(5)) * 4)


@pytest.mark.parametrize(("ranks", "size"), [(1, None), (2, None), (3, None), (4, 2), (2, 1), (3, 2)])
def test_a_global_batch_is_the_same_whatever_the_layout(ranks: int, size: int | None) -> None:
    order = EpochOrder(num_rows=100, batch_size=8, seed=7)
    for step in (0, 5, 12):
        parts = [order.micro_batches(step, rank=rank, ranks=ranks, size=size) for rank in range(ranks)]
        assert [row for part in parts for batch in part for row in batch] == order.rows(step)


def test_the_order_depends_on_the_seed_only() -> None:
    assert EpochOrder(50, 10, 1).rows(3) == EpochOrder(50, 10, 1).rows(3)
    assert EpochOrder(50, 10, 1).rows(3) != EpochOrder(50, 10, 2).rows(3)

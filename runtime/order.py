"""Which rows a step sees: epochs of fresh permutations, one after the other without a seam.

A pure function of (seed, step): the order is the same whatever the layout, and after any interruption.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class EpochOrder:
    """The order of `num_rows` rows in global batches of `batch_size`."""

    num_rows: int
    batch_size: int
    seed: int

    def rows(self, step: int) -> list[int]:
        """Row indices of this step's global batch."""
        first = step * self.batch_size
        return [self._row(position) for position in range(first, first + self.batch_size)]

    def micro_batches(self, step: int, *, rank: int, ranks: int, size: int | None) -> list[list[int]]:
        """This data-parallel rank's share of the step, cut into micro-batches of `size` (one, where absent).

        Where ranks do not divide the batch, their shares differ by a row; there must be one for each.
        """
        begin, end = (self.batch_size * number // ranks for number in (rank, rank + 1))
        if begin == end:
            raise ValueError(f"a global batch of {self.batch_size} has no row for each of {ranks} data-parallel ranks")
        mine = self.rows(step)[begin:end]
        size = size or len(mine)
        return [mine[first : first + size] for first in range(0, len(mine), size)]

    def _row(self, position: int) -> int:
        epoch, place = divmod(position, self.num_rows)
        return int(_permutation(self.seed, epoch, self.num_rows)[place])


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, num_rows: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(num_rows)

"""Values of a regression head over many rows, forward only: how a reward model judges."""

from collections.abc import Iterator, Sequence

import torch

from runtime.engine.batch import collate_whole
from runtime.engine.generate import plan_batches
from runtime.engine.loop import pick
from runtime.engine.model import Model


def score(
    model: Model, rows: Sequence[Sequence[int]], *, batch_size: int = 256
) -> Iterator[tuple[int, tuple[float, ...]]]:
    """(row, its K values), batch by batch in the order of `plan_batches`: rows of like length together."""
    if model.head is None or len(model.chunks) > 1 or model.layout.pp > 1:
        raise ValueError("scores need a regression head, and no pipeline")
    (chunk,) = model.chunks
    was_training = chunk.training
    chunk.eval()
    try:
        for places in plan_batches([len(row) for row in rows], batch_size=batch_size):
            batch = collate_whole([rows[place] for place in places])
            with torch.no_grad():
                values_BK = pick(model, chunk(batch.tokens_BL, None, None), batch)
            yield from ((place, tuple(values)) for place, values in zip(places, values_BK.tolist(), strict=True))
    finally:
        chunk.train(was_training)

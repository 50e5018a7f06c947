from pathlib import Path

import numpy as np
import pytest
import torch

from runtime.engine.batch import collate
from runtime.engine.data import ShardCounts, Source, pretraining_samples, read_document, write_shards


def documents(low: int, high: int, num: int, seed: int = 0) -> list[list[int]]:
    random = np.random.default_rng(seed)
    return [[*random.integers(low, high, size=random.integers(5, 60)).tolist(), 0] for _ in range(num)]


def test_documents_come_back_and_equal_ones_make_equal_files(tmp_path: Path) -> None:
    written = documents(1, 500, 50)
    counts = write_shards(iter(written), tmp_path / "one", vocab_size=512)
    assert counts == ShardCounts(num_documents=50, num_tokens=sum(len(document) for document in written))
    assert [read_document(tmp_path / "one", index) for index in range(50)] == written
    write_shards(written, tmp_path / "two", vocab_size=512)
    for kind in (".bin", ".idx"):
        assert (tmp_path / f"one{kind}").read_bytes() == (tmp_path / f"two{kind}").read_bytes()


def test_a_large_vocabulary_is_kept(tmp_path: Path) -> None:
    write_shards([[255_999, 70_000, 0]], tmp_path / "one", vocab_size=256_000)
    assert read_document(tmp_path / "one", 0) == [255_999, 70_000, 0]


def test_an_empty_document_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="document 1"):
        write_shards([[1], []], tmp_path / "one", vocab_size=512)


def test_a_blend_keeps_its_proportions_and_its_order(tmp_path: Path) -> None:
    write_shards(documents(1, 200, 300), tmp_path / "low", vocab_size=512)
    write_shards(documents(200, 500, 30), tmp_path / "high", vocab_size=512)
    sources = [Source(tmp_path / "low", 0.7), Source(tmp_path / "high", 0.3)]
    arguments = {"seq_length": 16, "num_samples": 1000, "vocab_size": 512, "end_id": 0, "seed": 5}
    samples = pretraining_samples(sources, cache=tmp_path / "cache", **arguments)
    assert len(samples) == 1000
    batch = samples.batch(range(1000))
    assert torch.equal(batch.tokens_BL[:, 1:], batch.labels_BL[:, :-1])
    assert batch.loss_mask_BL.min() == 1
    # The end token is the last of its document, and the next token the first of the next.
    changes = batch.documents_BL.diff(dim=1)
    assert torch.equal(changes, (batch.tokens_BL[:, :-1] == 0).long())
    assert (batch.documents_BL[:, 0] == 0).all()
    is_high = (batch.tokens_BL.max(dim=1).values >= 200).float()
    assert is_high.mean() == pytest.approx(0.3, abs=0.002)
    # The rarer shard is spread over the whole run, and read more than once: 30 documents are some 60 samples.
    assert is_high[:100].mean() == pytest.approx(0.3, abs=0.02)

    for shard in ("low", "high"):
        for kind in (".bin", ".idx"):
            (tmp_path / "moved").mkdir(exist_ok=True)
            (tmp_path / "moved" / f"{shard}{kind}").write_bytes((tmp_path / f"{shard}{kind}").read_bytes())
    moved = [Source(tmp_path / "moved" / source.prefix.name, source.weight) for source in sources]
    again = pretraining_samples(moved, cache=tmp_path / "other", **arguments).batch(range(1000))
    assert torch.equal(again.tokens_BL, batch.tokens_BL)
    other = pretraining_samples(moved, cache=tmp_path / "other", **{**arguments, "seed": 6}).batch(range(1000))
    assert not torch.equal(other.tokens_BL, batch.tokens_BL)


def test_rows_are_padded_on_the_right_to_a_multiple() -> None:
    batch = collate([[1, 2, 3], [4, 5, 6, 7, 8, 9]], [[0, 0, 1], [0, 0, 0, 1, 1, 1]], pad_id=7, multiple=4)
    assert batch.tokens_BL.tolist() == [[1, 2, 7, 7, 7, 7, 7, 7], [4, 5, 6, 7, 8, 7, 7, 7]]
    assert batch.labels_BL.tolist() == [[2, 3, 7, 7, 7, 7, 7, 7], [5, 6, 7, 8, 9, 7, 7, 7]]
    assert batch.loss_mask_BL.tolist() == [[0, 1, 0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 1, 0, 0, 0]]
    assert batch.extra["lengths"].tolist() == [2, 5]
    with pytest.raises(ValueError, match="mask of 2 tokens"):
        collate([[1, 2, 3]], [[0, 1]])

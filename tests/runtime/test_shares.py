"""Shares of several jobs are together what one job makes, whatever was killed in between."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from compiler.manifest import Manifest, Placement
from runtime.context import Context
from runtime.engine.data import join_shards, write_shards
from runtime.shares import Batches, ShareDoneError, share_of

BATCHES = [[0, 3], [1], [2, 4], [5]]


def context(folder: Path, *, shards: int = 1, shard: int | None = None, gathers: bool = False) -> Context:
    manifest = Manifest.model_construct(
        placement=Placement(shards=shards), scratch=str(folder), journal=str(folder / "journal.jsonl")
    )
    return Context(manifest, 0, 1, folder, None, shard, gathers)


def squares(rows: Sequence[int]) -> list[int]:
    return [row * row for row in rows]


def test_shares_together_are_all_rows_and_each_batch_is_done_once(tmp_path: Path) -> None:
    done: list[int] = []
    for shard in range(3):
        share = Batches(context(tmp_path, shards=3, shard=shard), "squares", BATCHES)
        share.compute(lambda rows: (done.extend(rows), squares(rows))[1])
        with pytest.raises(ShareDoneError):
            share.results()
    gathering = Batches(context(tmp_path, shards=3, shard=1, gathers=True), "squares", BATCHES)
    assert not gathering.missing
    assert gathering.results() == {row: row * row for row in range(6)}
    assert sorted(done) == list(range(6))


def test_a_batch_that_a_kill_cut_short_is_done_again_and_the_others_are_not(tmp_path: Path) -> None:
    ledger = tmp_path / "squares.jsonl"
    ledger.write_text(json.dumps([0, [0, 9]]) + "\n" + json.dumps([2, [4, 16]]) + "\n[1, [")
    batches = Batches(context(tmp_path), "squares", BATCHES)
    assert batches.missing == [1, 3]
    batches.compute(squares)
    assert batches.results() == {row: row * row for row in range(6)}
    assert sorted(json.loads(line)[0] for line in ledger.read_text().splitlines()) == [0, 1, 2, 3]


def test_all_ranks_agree_on_what_is_missing(tmp_path: Path) -> None:
    first = context(tmp_path)
    Batches(first, "squares", BATCHES).compute(squares)
    assert not Batches(replace(first, rank=1), "squares", BATCHES).missing


@pytest.mark.parametrize("count", [0, 1, 2, 7, 12])
def test_rows_in_a_row_are_divided_whole(count: int) -> None:
    shares = [share_of(count, (number, 3)) for number in range(3)]
    assert [row for share in shares for row in share] == list(range(count))


@pytest.mark.parametrize("count", [2, 7])
def test_token_files_joined_are_the_bytes_of_one(count: int, tmp_path: Path) -> None:
    documents = [[number + 1] * (number + 1) for number in range(count)]
    parts = [tmp_path / f"part-{number}" for number in range(3)]
    for number, part in enumerate(parts):
        write_shards((documents[row] for row in share_of(count, (number, 3))), part, vocab_size=400)
    whole = write_shards(documents, tmp_path / "whole", vocab_size=400)
    assert join_shards(parts, tmp_path / "joined", vocab_size=400) == whole
    for ending in ("bin", "idx"):
        assert (tmp_path / f"joined.{ending}").read_bytes() == (tmp_path / f"whole.{ending}").read_bytes()

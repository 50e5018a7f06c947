"""Tokenised text on disk and the samples that pretraining reads from it: Megatron's indexed and blended datasets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
from megatron.core.datasets.indexed_dataset import DType, IndexedDataset, IndexedDatasetBuilder

from runtime.engine.batch import Batch


@dataclass(frozen=True)
class ShardCounts:
    """What one shard holds."""

    num_documents: int
    num_tokens: int


@dataclass(frozen=True)
class Source:
    """One shard of a blend."""

    prefix: Path
    """The shard's path without .bin and .idx"""
    weight: float
    """Its share of the samples, relative to the others'."""


def write_shards(documents: Iterable[Sequence[int]], prefix: Path, *, vocab_size: int) -> ShardCounts:
    """Writes `prefix`.bin and `prefix`.idx. Documents must end with their own end token: nothing is added here."""
    builder = IndexedDatasetBuilder(f"{prefix}.bin", dtype=DType.optimal_dtype(vocab_size))
    num_documents = num_tokens = 0
    for document in documents:
        if len(document) == 0:
            raise ValueError(f"document {num_documents} of {prefix} has no tokens")
        # As an array of the file's type: through int64 tensors, as Megatron's own tools do it, takes 3 times as long.
        tokens = np.asarray(document, dtype=builder.dtype)
        builder.add_document(torch.from_numpy(tokens), [len(tokens)])
        num_documents += 1
        num_tokens += len(tokens)
    builder.finalize(f"{prefix}.idx")
    return ShardCounts(num_documents=num_documents, num_tokens=num_tokens)


def join_shards(parts: Sequence[Path], prefix: Path, *, vocab_size: int) -> ShardCounts:
    """Writes one shard of several, in this order: the bytes that all their documents make at once."""
    builder = IndexedDatasetBuilder(f"{prefix}.bin", dtype=DType.optimal_dtype(vocab_size))
    for part in parts:
        builder.add_index(str(part))
    builder.finalize(f"{prefix}.idx")
    return ShardCounts(
        num_documents=len(builder.document_indices) - 1, num_tokens=int(sum(map(int, builder.sequence_lengths)))
    )


def read_document(prefix: Path, index: int) -> list[int]:
    """One document of a shard."""
    shard = IndexedDataset(str(prefix))  # held while its memory map is read: the array does not keep it open
    tokens: list[int] = shard[index].tolist()
    return tokens


class PretrainingSamples:
    """`num_samples` sequences of `seq_length` tokens and their labels, in a fixed order."""

    def __init__(self, dataset: Any, end_id: int) -> None:
        self._dataset = dataset
        self._end_id = end_id

    def __len__(self) -> int:
        return len(self._dataset)

    def batch(self, indices: Sequence[int]) -> Batch:
        """The samples at these places as one micro-batch; every label counts, each document is read by itself."""
        samples = [self._dataset[index] for index in indices]
        tokens_BL = torch.stack([sample["tokens"] for sample in samples])
        return Batch(
            tokens_BL=tokens_BL,
            labels_BL=torch.stack([sample["labels"] for sample in samples]),
            loss_mask_BL=torch.ones(tokens_BL.shape),
            # The end token is its document's last; Megatron's own `reset_attention_mask` makes the same mask one sample
            # at a time in Python, which costs more than the model's step at toy size.
            documents_BL=torch.cumsum(tokens_BL == self._end_id, dim=1) - (tokens_BL == self._end_id).long(),
            extra={"lengths": torch.full((len(samples),), tokens_BL.shape[1])},
        )


def pretraining_samples(
    sources: Sequence[Source],
    *,
    seq_length: int,
    num_samples: int,
    vocab_size: int,
    end_id: int,
    seed: int,
    cache: Path,
) -> PretrainingSamples:
    """Blends the shards: documents joined end to end, cut to seq_length, shuffled by `seed`, repeated as needed.

    `end_id` is the token that every document ends with.

    The order depends on the shards' contents, the weights and the seed; not on paths, ranks or the cache, which only
    keeps the index. Must be called inside `parallel.start` on every rank: rank 0 builds the index, the others read it.
    """
    config = GPTDatasetConfig(
        random_seed=seed,
        sequence_length=seq_length,
        blend=([str(source.prefix) for source in sources], [source.weight for source in sources]),
        split="1,0,0",
        path_to_cache=str(cache),
        tokenizer=_Vocabulary(vocab_size),
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=False,
        create_attention_mask=False,
    )
    built = BlendedMegatronDatasetBuilder(GPTDataset, [num_samples, 0, 0], lambda: True, config).build()
    return PretrainingSamples(built[0], end_id)


class _Vocabulary:
    """What GPTDataset asks of a tokenizer. Samples are always whole, so that no padding token is ever written."""

    eod = -2
    pad = -1

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        self.unique_identifiers = {"vocab_size": vocab_size}

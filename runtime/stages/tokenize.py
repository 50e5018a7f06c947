"""tokenize: dialogues to megatron-core's indexed datasets."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from compiler.artifacts import DialogueRow
from compiler.stages.tokenize import Tokenize
from runtime.context import Context, Facts
from runtime.engine.data import join_shards, write_shards
from runtime.rows import count_rows, read_rows
from runtime.shares import ShareDoneError, share_of, share_suffix
from runtime.tokenizer import ChatTokenizer

PREFIX = "tokens"


def run(stage: Tokenize, ctx: Context) -> Facts:
    """One document for each dialogue, in the order of the rows. A share leaves its own in scratch, and raises
    ShareDoneError."""
    tokenizer = ChatTokenizer.load(ctx.input(stage.tokenizer))
    if ctx.gathers:
        parts = [_share(ctx, shard) for shard in range(ctx.placement.shards)]
        counts = join_shards(parts, ctx.output / PREFIX, vocab_size=tokenizer.vocab_size)
    elif ctx.shard is not None:
        write_shards(_documents(stage, ctx, tokenizer), _share(ctx, ctx.shard), vocab_size=tokenizer.vocab_size)
        raise ShareDoneError
    else:
        documents = _documents(stage, ctx, tokenizer)
        counts = write_shards(documents, ctx.output / PREFIX, vocab_size=tokenizer.vocab_size)
    return {
        "documents": counts.num_documents,
        "tokens": counts.num_tokens,
        "mean_tokens": round(counts.num_tokens / max(1, counts.num_documents), 3),
    }


def _documents(stage: Tokenize, ctx: Context, tokenizer: ChatTokenizer) -> Iterator[Sequence[int]]:
    folder = ctx.input(stage.data)
    mine = share_of(count_rows(folder), ctx.share)
    for row in islice(read_rows(folder, DialogueRow), mine.start, mine.stop):
        yield tokenizer.encode_document(row.messages)


def _share(ctx: Context, shard: int) -> Path:
    return ctx.scratch / f"{PREFIX}{share_suffix(ctx, shard)}"

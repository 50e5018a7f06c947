"""tokenize: dialogues to megatron-core's indexed datasets."""

from compiler.artifacts import DialogueRow
from compiler.stages.tokenize import Tokenize
from runtime.context import Context, Facts
from runtime.engine.data import write_shards
from runtime.rows import read_rows
from runtime.tokenizer import ChatTokenizer

PREFIX = "tokens"


def run(stage: Tokenize, ctx: Context) -> Facts:
    """One document for each dialogue, in the order of the rows."""
    tokenizer = ChatTokenizer.load(ctx.input(stage.tokenizer))
    rows = read_rows(ctx.input(stage.data), DialogueRow)
    documents = (tokenizer.encode_document(row.messages) for row in rows)
    counts = write_shards(documents, ctx.output / PREFIX, vocab_size=tokenizer.vocab_size)
    return {
        "documents": counts.num_documents,
        "tokens": counts.num_tokens,
        "mean_tokens": round(counts.num_tokens / max(1, counts.num_documents), 3),
    }

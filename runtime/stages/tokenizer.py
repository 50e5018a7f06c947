"""tokenizer: train a byte-pair tokenizer on dialogues."""

from collections.abc import Iterator

from compiler.artifacts import DialogueRow
from compiler.stages.tokenizer import Tokenizer
from runtime.context import Context, Facts
from runtime.rows import read_rows
from runtime.tokenizer import train_tokenizer


def run(stage: Tokenizer, ctx: Context) -> Facts:
    """Trains on the words of all turns; facts: how many tokens there are, and how long dialogues become."""
    rows = [row for ref in stage.data for row in read_rows(ctx.input(ref), DialogueRow)]
    tokenizer = train_tokenizer(_turns(rows), stage.vocab_size, stage.chat_template, ctx.output)
    lengths = [len(tokenizer.encode_dialogue(row.messages).ids) for row in rows]
    return {
        "dialogues": len(rows),
        "vocab_size": tokenizer.vocab_size,
        "mean_tokens": round(sum(lengths) / max(1, len(lengths)), 3),
        "max_tokens": max(lengths, default=0),
    }


def _turns(rows: list[DialogueRow]) -> Iterator[str]:
    return (message.content for row in rows for message in row.messages)

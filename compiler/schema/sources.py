"""What stands behind an `adopt` stage: files of rows, tokenizers and checkpoints that others made."""

from typing import Annotated, Literal

from pydantic import Field

from compiler.schema.base import Record
from compiler.schema.data import ChatTemplate

Verifier = Literal["numeric", "multiple_choice", "instructions", "unit_tests"]
"""How an answer to an adopted prompt is checked: the last number, the letter, IFEval's instructions, the tests."""


class Rows(Record):
    """Files of rows."""

    kind: Literal["rows"]
    format: Literal["jsonl", "csv", "parquet", "text"]
    """jsonl and csv may be compressed (.gz, .zst); `text` is one document a file."""
    fields: dict[str, str]
    """Field of ours -> field of theirs (a dotted path); fields with equal names need no entry. Ours: `text` of
    documents; `topic`; `messages` (a list, or a text: what the user asks) and `family` of the others; `flags` and
    `check` of prompts; `response` and HelpSteer's attributes of ratings; `chosen` and `rejected` of preferences, and
    their `chosen_reward` and `rejected_reward`, which are read only if both are named here. Preferences may also be
    rows of a `response` that people called `good` or not (true or false): if both are named here, each good answer is
    paired with a bad one to the same messages, in the order of the rows; what finds no partner is counted."""
    verifier: Verifier | None = None
    """Of prompts: how answers are checked; absent where nothing can check them."""


class TokenizerFile(Record):
    """A tokenizer that was trained elsewhere."""

    kind: Literal["tokenizer_json", "sentencepiece", "gguf_tokenizer"]
    """Hugging Face `tokenizer.json`; a SentencePiece model; what a GGUF file of a model says of its tokens."""
    vocab_size: Annotated[int, Field(gt=0)]
    """Tokens, special ones included; checked when the file is adopted."""
    chat_template: ChatTemplate
    """How conversations are written, for every model that uses this tokenizer."""


class Checkpoint(Record):
    """The weights of a model that was trained elsewhere."""

    kind: Literal["huggingface", "gguf", "megatron"]
    """safetensors with config.json; a GGUF file; a torch_dist checkpoint of Megatron-core."""


Source = Annotated[Rows | TokenizerFile | Checkpoint, Field(discriminator="kind")]

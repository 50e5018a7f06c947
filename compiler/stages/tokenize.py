"""tokenize: dialogues to megatron-core's indexed datasets."""

from typing import ClassVar, Literal

from compiler.artifacts import Kind
from compiler.stages.base import Stage, TextRef, TokenizerRef


class Tokenize(Stage):
    """Each dialogue is written by the tokenizer's chat template and becomes one document, end token included."""

    output: ClassVar[Kind] = Kind.TOKENS

    kind: Literal["tokenize"]
    data: TextRef
    """Texts."""
    tokenizer: TokenizerRef
    """What the text is divided into."""

"""tokenizer: train a byte-pair tokenizer on dialogues."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compiler.artifacts import Kind
from compiler.schema.base import Count
from compiler.schema.data import ChatTemplate
from compiler.stages.base import Stage, TextRef


class Tokenizer(Stage):
    """BPE with byte fallback and single digits, trained on the words of these dialogues."""

    output: ClassVar[Kind] = Kind.TOKENIZER

    kind: Literal["tokenizer"]
    data: Annotated[tuple[TextRef, ...], Field(min_length=1)]
    """Texts that it is trained on."""
    vocab_size: Count
    """At most; small data may give fewer."""
    chat_template: ChatTemplate
    """How conversations are written, for every model that uses this tokenizer."""

    def templates(self) -> tuple[str, ...]:
        """The chat template: its text goes into the artifact."""
        return (f"chat/{self.chat_template}.j2",)

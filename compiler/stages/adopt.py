"""adopt: bring files that others made into the store, once, checked and with their hashes."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from compiler.artifacts import ATTRIBUTES
from compiler.schema.base import Count, NotIdentity, Piece
from compiler.schema.model import ModelSpec
from compiler.schema.sources import Checkpoint, Rows, Source, TokenizerFile
from compiler.stages.base import Stage, TokenizerRef

_SOURCES: dict[str, tuple[type[Rows | TokenizerFile | Checkpoint], str]] = {
    "tokenizer": (TokenizerFile, "tokenizer_json, sentencepiece or gguf_tokenizer"),
    "policy": (Checkpoint, "huggingface, gguf or megatron"),
}

PACKAGE = "package:"
"""Begins the name of a file that an installed Python package holds."""

REWARDS = ("chosen_reward", "rejected_reward")
"""Of adopted preferences: there if `source.fields` names both."""

LABELLED = ("response", "good")
"""Of adopted preferences, in the place of `chosen` and `rejected`: rows of one answer that is good or not."""

FIELDS: Mapping[str, tuple[str, ...]] = {
    "documents": ("text",),
    "topics": ("topic",),
    "prompts": ("messages", "family", "flags", "check"),
    "dialogues": ("messages", "family"),
    "ratings": ("messages", "family", "response", *ATTRIBUTES),
    "preferences": ("messages", "family", "chosen", "rejected", *REWARDS, *LABELLED),
}
"""Artifact -> the fields that its rows are read from. `messages` may be a single text: what the user asks."""


class Adopt(Stage):
    """Identity is what the files say, never where they lie: the hash of their contents, or a revision that names it.

    Rows are written anew in our own form; a row that has not the fields that its artifact needs is refused, with its
    file and line. Rows without a `family` are all of one, named as the stage's `name` says.
    """

    output_field: ClassVar[str] = "artifact"

    kind: Literal["adopt"]
    artifact: Literal["documents", "topics", "prompts", "dialogues", "ratings", "preferences", "tokenizer", "policy"]
    """What they become."""
    name: str
    """What they are, in a word that people know: `nvidia/HelpSteer2`."""
    source: Source
    """What kind of files they are, and how they are read."""
    model: Annotated[ModelSpec, Piece("models")] | None = None
    """Of a policy: its shape, checked against the files when they are adopted."""
    tokenizer: TokenizerRef | None = None
    """Of a policy: what it speaks."""
    files: Annotated[tuple[str, ...], Field(min_length=1), NotIdentity()]
    """Paths and globs, relative to the file that names them, or absolute; `package:NAME/PATH` is a file of an installed
    Python package, which is not imported."""
    revision: str | None = None
    """A commit, a date, a sha256: says which contents are meant, so that a plan need not read the files. The SHA-256 of
    a single file is checked when it is adopted. Where there is no revision the contents are hashed when the plan is
    made, and must be at hand."""
    rows: Annotated[Count | None, NotIdentity()] = None
    """How many there are about, for the plan."""
    tokens: Annotated[Count | None, NotIdentity()] = None
    """How many tokens they have about, for the plan."""

    @model_validator(mode="after")
    def _source_fits(self) -> "Adopt":
        wanted, kinds = _SOURCES.get(self.artifact, (Rows, "rows"))
        if not isinstance(self.source, wanted):
            raise ValueError(f"`artifact: {self.artifact}` comes from a source of kind {kinds}, not {self.source.kind}")
        if (self.artifact == "policy") != (self.model is not None and self.tokenizer is not None):
            raise ValueError("a policy has a `model` and a `tokenizer`; nothing else has")
        named = self.source.fields if isinstance(self.source, Rows) else {}
        if sum(name in named for name in REWARDS) == 1:
            raise ValueError("`chosen_reward` and `rejected_reward` go together")
        if self.artifact == "preferences" and any(name in named for name in LABELLED):
            if not all(name in named for name in LABELLED):
                raise ValueError("`response` and `good` go together")
            if any(name in named for name in ("chosen", "rejected", *REWARDS)):
                raise ValueError("a row has either `response` and `good`, or `chosen` and `rejected`")
        return self

    def templates(self) -> tuple[str, ...]:
        """The chat template of a tokenizer: its text goes into the artifact."""
        return (f"chat/{self.source.chat_template}.j2",) if isinstance(self.source, TokenizerFile) else ()

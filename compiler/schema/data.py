"""How prompts are divided, how conversations are written as text, how sources are blended."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from compiler.schema.base import Record, Share


class Split(Record):
    """Disjoint parts of all possible prompts: a prompt belongs to one part, by a hash of its words alone."""

    salt: str
    """Other salt, other parts."""
    shares: Annotated[dict[str, Share], Field(min_length=1)]
    """Part name -> share of all prompts; what remains belongs to no part."""

    @model_validator(mode="after")
    def _shares_fit(self) -> "Split":
        total = sum(self.shares.values())
        if total > 1 + 1e-9:
            raise ValueError(f"the shares sum to {total:g}, but must not exceed 1")
        return self


ChatTemplate = Literal["compact", "nemotron", "chatml", "smollm2"]
"""`templates/chat/<name>.j2`: how a conversation is written as text."""

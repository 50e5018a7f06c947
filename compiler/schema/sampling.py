"""How answers are drawn from a language model, and which things can be asked for one."""

from typing import Annotated

from pydantic import Field

from compiler.schema.base import Accepts, Count, Record, Share

LanguageModelRef = Annotated[str, Accepts("policy", "endpoint")]
"""Whatever writes text: a policy of this recipe, or a served model."""


class Sampling(Record):
    """How tokens are drawn."""

    temperature: Annotated[float, Field(ge=0)]
    """0 is greedy."""
    top_p: Share
    """Draw from the likeliest tokens that have this much probability together; 1 is all of them."""
    max_new_tokens: Count
    """Longest answer."""

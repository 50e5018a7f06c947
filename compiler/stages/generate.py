"""generate: a policy answers prompts."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compiler.artifacts import Kind
from compiler.schema.base import Count, Record, Seed, Share
from compiler.stages.base import PolicyRef, PromptsRef, Stage


class Sampling(Record):
    """How tokens are drawn."""

    temperature: Annotated[float, Field(ge=0)]
    """0 is greedy."""
    top_p: Share
    max_new_tokens: Count


class Generate(Stage):
    """`samples` answers to each prompt; a row's randomness comes from (seed, prompt, sample index) alone."""

    output: ClassVar[Kind] = Kind.RESPONSES

    kind: Literal["generate"]
    policy: PolicyRef
    prompts: PromptsRef
    samples: Count
    sampling: Sampling
    seed: Seed

"""generate: policies and served models answer prompts."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compiler.artifacts import Kind
from compiler.schema.base import Count, Seed
from compiler.schema.sampling import LanguageModelRef, Sampling
from compiler.stages.base import PromptsRef, Stage


class Generate(Stage):
    """`samples` answers to each prompt; a row's randomness comes from (seed, prompt, sample index) alone."""

    output: ClassVar[Kind] = Kind.RESPONSES

    kind: Literal["generate"]
    policy: LanguageModelRef | Annotated[tuple[LanguageModelRef, ...], Field(min_length=1)]
    """Who answers; of several, one is drawn at random for each answer."""
    prompts: PromptsRef
    """What is answered."""
    instruction: Literal["decline"] | None = None
    """A template that is put before each prompt and not kept in the row: `decline` asks for a polite refusal."""
    samples: Count
    """Answers to each prompt."""
    sampling: Sampling
    """How answers are drawn."""
    seed: Seed
    """Of everything random in this stage."""

    @property
    def policies(self) -> tuple[str, ...]:
        """Everybody who answers."""
        return (self.policy,) if isinstance(self.policy, str) else self.policy

    def templates(self) -> tuple[str, ...]:
        """The instruction's words."""
        return (f"prompts/{self.instruction}.j2",) if self.instruction else ()

"""dialogues: a model plays both sides of a conversation."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from compiler.artifacts import Kind
from compiler.schema.base import Count, Piece, Seed
from compiler.schema.judges import RewardModelJudge
from compiler.schema.sampling import LanguageModelRef, Sampling
from compiler.stages.base import PromptsRef, Stage


class Dialogues(Stage):
    """Each prompt opens a dialogue; the user's later turns are role-played from a persona and the history."""

    output: ClassVar[Kind] = Kind.DIALOGUES

    kind: Literal["dialogues"]
    policy: LanguageModelRef
    """Plays both sides."""
    prompts: PromptsRef
    """What opens each dialogue."""
    turns: Count
    """User turns, and as many of the assistant; the report's have 3."""
    personas: Annotated[tuple[Literal["normal", "complex", "concise"], ...], Field(min_length=1)]
    """How the user writes; one is drawn for each dialogue."""
    remove_filler: bool
    """Cut politeness from the user's turns: thanks, praise, goodbyes."""
    sampling: Sampling
    """How answers are drawn."""
    judge: Annotated[RewardModelJudge, Piece("judges")] | None = None
    """Scores each dialogue whole,"""
    at_least: float | None = None
    """and those below this are dropped and counted."""
    seed: Seed
    """Of everything random in this stage."""

    @model_validator(mode="after")
    def _threshold_has_a_judge(self) -> "Dialogues":
        if (self.judge is None) != (self.at_least is None):
            raise ValueError("`judge` and `at_least` go together")
        return self

    def templates(self) -> tuple[str, ...]:
        """The personas."""
        return tuple(f"prompts/user_{persona}.j2" for persona in self.personas)

"""evaluate: a policy answers held-out prompts and is checked."""

from typing import Annotated, ClassVar, Literal

from compiler.artifacts import Kind
from compiler.schema.base import Count, Piece, Seed
from compiler.schema.judges import LLMGrade, RewardModelJudge
from compiler.schema.sampling import LanguageModelRef
from compiler.stages.base import PromptsRef, Stage


class Evaluate(Stage):
    """Accuracy by family, greedy and sampled (temperature 1), with Wilson intervals; length; reward when greedy."""

    output: ClassVar[Kind] = Kind.EVALUATION

    kind: Literal["evaluate"]
    policy: LanguageModelRef
    """Who is examined."""
    prompts: PromptsRef
    """Held-out prompts."""
    max_new_tokens: Count
    """Longest answer."""
    reward: Annotated[RewardModelJudge, Piece("judges")] | None = None
    """Also tell the mean reward by this reward model."""
    grade: Annotated[LLMGrade, Piece("judges")] | None = None
    """Mean grade of the greedy answers, by a model that judges them."""
    seed: Seed
    """Of everything random in this stage."""

    def templates(self) -> tuple[str, ...]:
        """What the grader is asked."""
        return self.grade.templates() if self.grade else ()

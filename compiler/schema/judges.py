"""Who says how good a response is: one record per judge kind."""

from typing import Annotated, Literal

from pydantic import Field

from compiler.schema.base import Accepts, Count, Worded
from compiler.schema.sampling import LanguageModelRef, Sampling


class GroundTruth(Worded):
    """The verifier that the prompt carries: score 1 or 0, and HelpSteer's five attributes computed from the text.

    Task families bring their own; adopted prompts name one (`source.verifier`). A prompt that nothing can check gets
    no score.
    """

    kind: Literal["ground_truth"]


class LLMJudge(Worded):
    """A model compares the answers to one prompt two by two; an answer's score is the share of comparisons that it won.

    Each comparison is asked twice with the order swapped, and counts only if both verdicts agree.
    """

    kind: Literal["llm"]
    model: LanguageModelRef
    """Who is asked: a policy of this recipe, or an endpoint."""
    rubric: Literal["helpfulness", "correctness", "code"]
    """What the judge is asked to look at: `templates/prompts/judge_<rubric>.j2`."""
    sampling: Sampling
    """How answers are drawn."""

    def templates(self) -> tuple[str, ...]:
        """The question."""
        return (f"prompts/judge_{self.rubric}.j2",)


class LLMLikelihood(Worded):
    """A model compares the answers to one prompt two by two, and nothing is written: of the two verdicts that one
    counts which it takes for the likelier answer to the question.

    Each comparison is asked twice with the order swapped; the mean of both log-odds decides, so that a liking for one
    place cancels out. For models that are too small to come to a verdict in words.
    """

    kind: Literal["llm_likelihood"]
    model: Annotated[str, Accepts("policy")]
    """Who is asked: a policy of this recipe."""
    rubric: Literal["helpfulness", "correctness", "code"]
    """What the judge is asked to look at: `templates/prompts/judge_<rubric>.j2`."""

    def templates(self) -> tuple[str, ...]:
        """The question."""
        return (f"prompts/judge_{self.rubric}.j2",)


class LLMGrade(Worded):
    """A model grades each answer by itself (MT-Bench's way); the score is the grade."""

    kind: Literal["llm_grade"]
    model: LanguageModelRef
    """Who is asked: a policy of this recipe, or an endpoint."""
    rubric: Literal["helpfulness", "correctness", "code"]
    """What the judge is asked to look at: `templates/prompts/grade_<rubric>.j2`."""
    highest: Count
    """Grades are 1 to this."""
    show_reference: bool
    """Show the judge the prompt's reference answer, where it has one."""
    sampling: Sampling
    """How answers are drawn."""

    def templates(self) -> tuple[str, ...]:
        """The question."""
        return (f"prompts/grade_{self.rubric}.j2",)


Attribute = Literal["helpfulness", "correctness", "coherence", "complexity", "verbosity"]
"""HelpSteer's attributes."""


class RewardModelJudge(Worded):
    """A trained reward model; the score is the weighted sum of its raw (unclipped) attributes."""

    kind: Literal["reward_model"]
    model: Annotated[str, Accepts("reward_model")]
    """The reward model."""
    weights: Annotated[dict[Attribute, float], Field(min_length=1)]
    """Each attribute's weight in the scalar reward."""
    gate: Annotated[float, Field(ge=0, le=1)]
    """The judge is silent on families where the reward model's held-out pair accuracy is below this, and on those of
    which nothing was held out; 0 lets it speak on all."""


Judge = Annotated[GroundTruth | LLMJudge | LLMLikelihood | LLMGrade | RewardModelJudge, Field(discriminator="kind")]

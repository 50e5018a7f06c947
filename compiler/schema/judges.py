"""Who says how good a response is: one record per judge kind."""

from typing import Annotated, Literal

from pydantic import Field

from compiler.schema.base import Accepts, Record


class GroundTruth(Record):
    """The task family's own verifier: score 1 or 0, and HelpSteer's five attributes computed from the text."""

    kind: Literal["ground_truth"]


Attribute = Literal["helpfulness", "correctness", "coherence", "complexity", "verbosity"]
"""HelpSteer's attributes."""


class RewardModelJudge(Record):
    """A trained reward model; the score is the weighted sum of its raw (unclipped) attributes."""

    kind: Literal["reward_model"]
    model: Annotated[str, Accepts("reward_model")]
    weights: Annotated[dict[Attribute, float], Field(min_length=1)]
    """Each attribute's weight in the scalar reward."""
    gate: Annotated[float, Field(ge=0, le=1)]
    """The judge is silent on families where the reward model's held-out pair accuracy is below this."""


Judge = Annotated[GroundTruth | RewardModelJudge, Field(discriminator="kind")]

"""What preference training minimises: one record per loss kind. Formulas stand in `runtime/losses/<kind>.py`."""

from typing import Annotated, Literal

from pydantic import Field

from compiler.schema.base import NonNegative, Positive, Record


class DPO(Record):
    """Direct preference optimisation: -log sigmoid(beta * implicit gap)."""

    kind: Literal["dpo"]
    beta: Positive
    sft_weight: NonNegative
    """Weight of the negative log-likelihood of the chosen answer."""
    sft_average: bool
    """Divide the SFT term by the answer's length in tokens."""


class IPO(Record):
    """Identity preference optimisation: (implicit gap - 1 / (2 beta))^2."""

    kind: Literal["ipo"]
    beta: Positive
    sft_weight: NonNegative
    sft_average: bool


class RPO(Record):
    """Reward-aware preference optimisation: a distance between implicit and judged reward gaps (2406.11704)."""

    kind: Literal["rpo"]
    distance: Literal["bwd_kl", "fwd_kl", "sq"]
    """bwd_kl is the report's: KL(Bernoulli(sigmoid(b)) || Bernoulli(sigmoid(a)))."""
    beta: Positive
    """Scale of the implicit gap: a = beta * (log-ratio of chosen - log-ratio of rejected)."""
    eta: Positive
    """Scale of the judged gap: b = eta * (reward of chosen - reward of rejected)."""
    sft_weight: NonNegative
    sft_average: bool


Loss = Annotated[DPO | IPO | RPO, Field(discriminator="kind")]

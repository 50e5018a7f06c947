"""What preference training minimises: one record per loss kind. Formulas stand in `runtime/losses/<kind>.py`."""

from typing import Annotated, Literal

from pydantic import Field

from compiler.schema.base import NonNegative, Positive, Record


class DPO(Record):
    """Direct preference optimisation: -log sigmoid(beta * implicit gap)."""

    kind: Literal["dpo"]
    beta: Positive
    """Scale of the implicit gap."""
    sft_weight: NonNegative
    """Weight of the negative log-likelihood of the chosen answer."""
    sft_average: bool
    """Divide the SFT term by the answer's length in tokens."""


class CDPO(Record):
    """Conservative DPO: some labels are taken to be the wrong way round (Mitchell 2023)."""

    kind: Literal["cdpo"]
    beta: Positive
    """Scale of the implicit gap."""
    label_noise: Annotated[float, Field(ge=0, lt=0.5)]
    """Share of pairs whose order is wrong."""
    sft_weight: NonNegative
    """Weight of the negative log-likelihood of the chosen answer."""
    sft_average: bool
    """Divide that term by the answer's length in tokens."""


class SimPO(Record):
    """Without a reference: -log sigmoid(beta * gap of mean log-probabilities - gamma) (2405.14734)."""

    kind: Literal["simpo"]
    beta: Positive
    """Scale of the implicit gap."""
    gamma: NonNegative
    """Margin that the chosen answer must have."""
    sft_weight: NonNegative
    """Weight of the negative log-likelihood of the chosen answer."""
    sft_average: bool
    """Divide that term by the answer's length in tokens."""


class IPO(Record):
    """Identity preference optimisation: (gap of log-ratios - 1 / (2 beta))^2."""

    kind: Literal["ipo"]
    beta: Positive
    """Strength of the pull to the reference: the gap's target is 1 / (2 beta)."""
    average_log_probs: bool
    """Take log-ratios per token of the answer, as TRL does (the authors' own runs did), not per answer."""
    sft_weight: NonNegative
    """Weight of the negative log-likelihood of the chosen answer."""
    sft_average: bool
    """Divide that term by the answer's length in tokens."""


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
    """Weight of the negative log-likelihood of the chosen answer."""
    sft_average: bool
    """Divide that term by the answer's length in tokens."""


Loss = Annotated[DPO | CDPO | SimPO | IPO | RPO, Field(discriminator="kind")]


class Regression(Record):
    """Reward model: mean squared error of HelpSteer's attributes, where they were given."""

    kind: Literal["regression"]
    bradley_terry_weight: NonNegative
    """Weight of -log sigmoid(r_c - r_l) over pairs of one prompt, on helpfulness, or on correctness where that is all
    that was rated, beside the regression; the report's is 0."""


class BradleyTerry(Record):
    """Reward model: -log sigmoid(r_c - r_l) over preference pairs, m being the difference of their given rewards."""

    kind: Literal["bradley_terry"]
    margin: Literal["none", "subtracted", "scaled"]
    """none; -log sigmoid(r_c - r_l - m); -m log sigmoid(r_c - r_l)."""


RewardLoss = Annotated[Regression | BradleyTerry, Field(discriminator="kind")]

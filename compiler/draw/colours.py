"""The colour of a stage kind, the same in every picture: hues that colour-blind readers tell apart (Okabe and Ito)."""

from typing import NamedTuple


class Colour(NamedTuple):
    """One hue."""

    meaning: str
    """As a legend says it."""
    full: str
    """For marks and stripes, on light and on dark paper."""
    tint: str
    """For a box that dark text stands on."""


_TRAINING = Colour("training", "#0072b2", "#d3e7f4")
_REWARDS = Colour("reward models", "#cc79a7", "#f7e4ee")
_ANSWERS = Colour("prompts and answers", "#009e73", "#d2efe6")
_CHOICE = Colour("judging and choosing", "#e69f00", "#fbecc9")
_RESULTS = Colour("results", "#d55e00", "#fae0cd")
_DATA = Colour("data", "#7a828c", "#e8eaed")

_BY_KIND = {
    **dict.fromkeys(("pretrain", "sft", "prefer"), _TRAINING),
    "reward_model": _REWARDS,
    **dict.fromkeys(("prompts", "topics", "annotate", "dialogues", "code", "generate"), _ANSWERS),
    **dict.fromkeys(("judge", "pair", "filter", "select", "dedup"), _CHOICE),
    **dict.fromkeys(("evaluate", "examine", "report", "export"), _RESULTS),
}


def colour_of(kind: str) -> Colour:
    """Training blue, reward models pink, what is written green, judging amber, results red, all else grey."""
    return _BY_KIND.get(kind, _DATA)

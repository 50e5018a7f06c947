"""Losses that weigh a pair by its rewards learn from pairs that have some."""

from compiler.checks.origins import origins
from compiler.checks.view import View
from compiler.elaborate import ProgramStage
from compiler.schema.losses import RPO, BradleyTerry
from compiler.schema.sources import Rows
from compiler.stages.adopt import REWARDS, Adopt
from compiler.stages.prefer import Prefer
from compiler.stages.reward_model import RewardModel


def check_rewards(view: View) -> None:
    """RPO, and Bradley-Terry with a margin: a pair stage's pairs carry rewards, adopted ones if their fields say so."""
    for at in view.stages.values():
        match at.stage:
            case Prefer(loss=RPO(), data=label):
                _check(view, at, "data", "RPO", label)
            case RewardModel(loss=BradleyTerry(margin="subtracted" | "scaled"), preferences=str(label)):
                _check(view, at, "preferences", "a margin", label)
            case _:
                pass


def _check(view: View, at: ProgramStage, field: str, who: str, label: str) -> None:
    for made in origins(view, label):
        if isinstance(made.stage, Adopt) and not _has_rewards(made.stage):
            written = next(ref.written for ref in at.refs if ref.path == field)
            message = f"{who} needs the rewards of both answers, and {written!r} has none"
            hint = "name them among `source.fields`, as `chosen_reward: score_chosen`, or use a loss without rewards"
            related = ((made.at, "adopted without rewards"),)
            view.blame(at, field, message, "no-rewards", hint=hint, related=related)


def _has_rewards(stage: Adopt) -> bool:
    return isinstance(stage.source, Rows) and all(name in stage.source.fields for name in REWARDS)

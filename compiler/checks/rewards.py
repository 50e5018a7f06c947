"""Losses that weigh a pair by its rewards learn from pairs that have some; judges weigh what was learnt."""

from compiler.checks.origins import are_apart, origins, ways
from compiler.checks.view import View, spoken
from compiler.elaborate import ProgramStage
from compiler.schema.judges import RewardModelJudge
from compiler.schema.losses import RPO, BradleyTerry
from compiler.schema.sources import Rows
from compiler.stages.adopt import REWARDS, Adopt
from compiler.stages.examine import Examine
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
        if isinstance(at.stage, Examine) and isinstance(at.stage.judge, RewardModelJudge):
            _check_unseen(view, at, at.stage.preferences, at.stage.judge)
        for field in _JUDGES:
            judge = getattr(at.stage, field, None)
            if isinstance(judge, RewardModelJudge):
                _check_weights(view, at, field, judge)


_JUDGES = ("judge", "reward", "fitness")
"""Fields of stages that may hold a reward model's judge."""
ONE_REWARD = "helpfulness"
"""What a reward model that learnt from pairs calls its reward."""


def _check_unseen(view: View, at: ProgramStage, pairs: str, judge: RewardModelJudge) -> None:
    made = view.stages[judge.model]
    if not isinstance(made.stage, RewardModel) or made.stage.preferences is None:
        return
    learnt = list(ways(view, made.stage.preferences))
    for origin, kept in ways(view, pairs):
        if not any(origin is source and not are_apart(kept, others) for source, others in learnt):
            continue
        message = "the judge has learnt from these very pairs"
        if made.stage.preferences != pairs:
            message = (
                f"the judge may have learnt from some of these pairs: no split divides {spoken(origin)!r} for both"
            )
        hint = "examine it on others: a split stage divides rows by their prompts"
        view.blame(at, "preferences", message, "contamination", hint=hint, related=((made.at, "learnt from"),))
        return


def _check_weights(view: View, at: ProgramStage, field: str, judge: RewardModelJudge) -> None:
    made = view.stages[judge.model]
    if (
        isinstance(made.stage, RewardModel)
        and made.stage.preferences is not None
        and set(judge.weights) != {ONE_REWARD}
    ):
        written = next(ref.written for ref in at.refs if ref.path == f"{field}.model")
        message = f"{written!r} learns one reward from pairs, `{ONE_REWARD}`, and nothing else can be weighed"
        hint = f"write `weights: {{{ONE_REWARD}: 1.0}}`"
        view.blame(at, f"{field}.weights", message, "wrong-value", hint=hint, related=((made.at, "the reward model"),))


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

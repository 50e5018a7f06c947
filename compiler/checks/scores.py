"""Scores belong to the responses that they stand beside, and are called by names that were given."""

from collections.abc import Iterable

from compiler.checks.view import View
from compiler.elaborate import ProgramStage
from compiler.errors import did_you_mean
from compiler.stages.filter import Filter
from compiler.stages.judge import Judge
from compiler.stages.pair import Pair
from compiler.stages.reward_model import RewardModel


def check_scores(view: View) -> None:
    """pair, filter and reward_model: each score is of these responses, and each name is among the scores."""
    for at in view.stages.values():
        stage = at.stage
        if isinstance(stage, Pair | Filter | RewardModel) and stage.responses is not None:
            _check_responses(view, at, stage.responses)
        if isinstance(stage, Pair):
            _check_names(view, at, "reward", stage.reward, stage.scores)
            _check_names(view, at, "chosen_at_least", stage.chosen_at_least, stage.scores)
        elif isinstance(stage, Filter):
            _check_names(view, at, "at_least", stage.at_least, stage.scores)


def _check_responses(view: View, at: ProgramStage, responses: str) -> None:
    for ref in at.refs:
        judge = view.stages[ref.label]
        if ref.accepts != ("scores",) or not isinstance(judge.stage, Judge) or judge.stage.responses == responses:
            continue
        judged = next(one for one in judge.refs if one.path == "responses")
        mine = next(one for one in at.refs if one.path == "responses")
        message = f"{ref.written!r} scores other responses ({judged.written!r}, not {mine.written!r})"
        related = ((judged.at, "what it scores"), (mine.at, "the responses of this stage"))
        hint = f"judge {mine.written!r} and name that stage here"
        view.blame(at, ref.path, message, "wrong-responses", hint=hint, related=related)


def _check_names(view: View, at: ProgramStage, field: str, names: Iterable[str], scores: Iterable[str]) -> None:
    known = list(scores)
    for name in names:
        if name not in known:
            message = f"no score is called {name!r}"
            view.blame_key(at, f"{field}.{name}", message, "unknown-name", hint=did_you_mean(name, known))

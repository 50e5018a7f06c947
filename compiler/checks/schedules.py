"""A learning rate that goes on from where another stage ended has such a stage."""

from collections.abc import Iterator

from compiler.checks.view import View
from compiler.schema.training import LearningRate
from compiler.stages import Stage
from compiler.stages.prefer import Prefer
from compiler.stages.pretrain import Pretrain
from compiler.stages.reward_model import RewardModel
from compiler.stages.sft import Sft

_TRAINED = (Pretrain, Sft, Prefer, RewardModel)


def check_schedules(view: View) -> None:
    """`continues: init` needs an `init` that was trained here: nobody knows what rate an adopted model ended with."""
    for at in view.stages.values():
        for field, rate in _rates(at.stage):
            if rate.continues is None:
                continue
            init = next((ref for ref in at.refs if ref.path == "init"), None)
            if init is not None and isinstance(view.stages[init.label].stage, _TRAINED):
                continue
            message = "goes on from the rate of `init`, " + (
                f"but {init.written!r} is not trained in this recipe" if init else "but the stage has none"
            )
            hint = "write `start` with the rate to begin with"
            view.blame(at, f"{field}.continues", message, "wrong-value", hint=hint)


def _rates(stage: Stage) -> Iterator[tuple[str, LearningRate]]:
    if isinstance(stage, Sft | Prefer | RewardModel):
        yield "learning_rate", stage.learning_rate
    elif isinstance(stage, Pretrain):
        for number, phase in enumerate(stage.phases):
            if phase.learning_rate is not None:
                yield f"phases.{number}.learning_rate", phase.learning_rate

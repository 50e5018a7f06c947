"""Which model a stage runs or trains."""

from compiler.schema.generators import (
    ClosedQA,
    Coding,
    FewShot,
    InstructionFollowing,
    Math,
    OpenQA,
    SelfPrompted,
    TwoTurn,
    Writing,
)
from compiler.schema.judges import GroundTruth
from compiler.stages import Stage
from compiler.stages.code import Code
from compiler.stages.dialogues import Dialogues
from compiler.stages.evaluate import Evaluate
from compiler.stages.examine import Examine
from compiler.stages.generate import Generate
from compiler.stages.judge import Judge
from compiler.stages.prefer import Prefer
from compiler.stages.pretrain import Pretrain
from compiler.stages.prompts import Prompts
from compiler.stages.reward_model import RewardModel
from compiler.stages.sft import Sft
from compiler.stages.topics import Topics

_ASKING = (OpenQA, Writing, ClosedQA, Math, Coding, TwoTurn, FewShot)
"""Generators that ask a language model."""


def model_label(label: str, stage: Stage) -> str:
    """The stage whose model this stage trains or runs: itself, or one of its refs; empty if it has no model."""
    match stage:
        case Pretrain() | Sft() | Prefer() | RewardModel():
            return label
        case Generate():
            return stage.policies[0]
        case Evaluate() | Dialogues():
            return stage.policy
        case Code():
            return stage.coder
        case Judge(judge=judge) | Examine(judge=judge):
            return "" if isinstance(judge, GroundTruth) else judge.model
        case Prompts(generator=SelfPrompted() as generator):
            return generator.policy
        case Prompts(generator=generator) if isinstance(generator, _ASKING):
            return generator.model
        case Prompts(generator=InstructionFollowing(model=str(model))):
            return model
        case Topics():
            return next((model for source in stage.sources if (model := getattr(source, "model", ""))), "")
        case _:
            return ""

"""The instruction set: one record per stage kind. A kind is a file name, here and in `runtime/stages/`."""

from typing import Annotated

from pydantic import Field

from compiler.stages.annotate import Annotate
from compiler.stages.base import Stage
from compiler.stages.evaluate import Evaluate
from compiler.stages.filter import Filter
from compiler.stages.generate import Generate
from compiler.stages.judge import Judge
from compiler.stages.mix import Mix
from compiler.stages.pair import Pair
from compiler.stages.prefer import Prefer
from compiler.stages.pretrain import Pretrain
from compiler.stages.prompts import Prompts
from compiler.stages.report import Report
from compiler.stages.reward_model import RewardModel
from compiler.stages.sft import Sft
from compiler.stages.tokenize import Tokenize
from compiler.stages.tokenizer import Tokenizer

AnyStage = Annotated[
    Annotate
    | Evaluate
    | Filter
    | Generate
    | Judge
    | Mix
    | Pair
    | Prefer
    | Pretrain
    | Prompts
    | Report
    | RewardModel
    | Sft
    | Tokenize
    | Tokenizer,
    Field(discriminator="kind"),
]

STAGES: dict[str, type[Stage]] = {
    "annotate": Annotate,
    "evaluate": Evaluate,
    "filter": Filter,
    "generate": Generate,
    "judge": Judge,
    "mix": Mix,
    "pair": Pair,
    "prefer": Prefer,
    "pretrain": Pretrain,
    "prompts": Prompts,
    "report": Report,
    "reward_model": RewardModel,
    "sft": Sft,
    "tokenize": Tokenize,
    "tokenizer": Tokenizer,
}
"""Stage kind -> record, spelled out like the union above; a test holds the two and the files together."""

__all__ = ["STAGES", "AnyStage", "Stage"]

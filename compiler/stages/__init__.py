"""The instruction set: one record per stage kind. A kind is a file name, here and in `runtime/stages/`."""

from typing import Annotated

from pydantic import Field

from compiler.stages.adopt import Adopt
from compiler.stages.annotate import Annotate
from compiler.stages.base import Stage
from compiler.stages.code import Code
from compiler.stages.dedup import Dedup
from compiler.stages.dialogues import Dialogues
from compiler.stages.endpoint import Endpoint
from compiler.stages.evaluate import Evaluate
from compiler.stages.examine import Examine
from compiler.stages.export import Export
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
from compiler.stages.select import Select
from compiler.stages.sft import Sft
from compiler.stages.split import Split
from compiler.stages.tokenize import Tokenize
from compiler.stages.tokenizer import Tokenizer
from compiler.stages.topics import Topics

AnyStage = Annotated[
    Adopt
    | Annotate
    | Code
    | Dedup
    | Dialogues
    | Endpoint
    | Evaluate
    | Examine
    | Export
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
    | Select
    | Sft
    | Split
    | Tokenize
    | Tokenizer
    | Topics,
    Field(discriminator="kind"),
]

STAGES: dict[str, type[Stage]] = {
    "adopt": Adopt,
    "annotate": Annotate,
    "code": Code,
    "dedup": Dedup,
    "dialogues": Dialogues,
    "endpoint": Endpoint,
    "evaluate": Evaluate,
    "examine": Examine,
    "export": Export,
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
    "select": Select,
    "sft": Sft,
    "split": Split,
    "tokenize": Tokenize,
    "tokenizer": Tokenizer,
    "topics": Topics,
}
"""Stage kind -> record, spelled out like the union above; a test holds the two and the files together."""

__all__ = ["STAGES", "AnyStage", "Stage"]

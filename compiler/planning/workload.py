"""How much work each stage is: rows, steps, tokens and model FLOPs, before anything runs.

Rows follow the edges. Where a count depends on what a model will say (pairs, responses kept), an assumption stands in;
these are the constants below, and the plan prints such counts as approximate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from compiler.planning.parameters import training_flops
from compiler.schema.generators import SelfPrompted
from compiler.schema.judges import RewardModelJudge
from compiler.schema.model import ModelSpec
from compiler.schema.training import num_steps
from compiler.stages import Stage
from compiler.stages.annotate import Annotate
from compiler.stages.evaluate import Evaluate
from compiler.stages.filter import Filter
from compiler.stages.generate import Generate
from compiler.stages.judge import Judge
from compiler.stages.mix import Mix
from compiler.stages.pair import Pair
from compiler.stages.prefer import Prefer
from compiler.stages.pretrain import Pretrain
from compiler.stages.prompts import Prompts
from compiler.stages.reward_model import RewardModel
from compiler.stages.sft import Sft
from compiler.stages.tokenize import Tokenize
from compiler.stages.tokenizer import Tokenizer

TOKENS_PER_ROW = 20
"""Assumed tokens of a prompt with its answer."""
PAIRS_PER_PROMPT = 0.6
"""Assumed share of prompts whose responses differ enough to make a pair."""
KEPT_SHARE = 0.6
"""Assumed share of prompts with a response that a filter keeps."""
ATTEMPTS_PER_PROMPT = 2.0
"""Assumed prompts sampled for each that is kept."""


@dataclass(frozen=True)
class PhaseWork:
    """One ramp entry of one pretraining phase."""

    name: str
    global_batch_size: int
    steps: int
    tokens: int
    flops_per_step: float


@dataclass(frozen=True)
class Work:
    """What a stage will do."""

    rows: int
    """Rows of its output (or trained on, for training stages)."""
    approximate: bool = False
    """Whether `rows` rests on an assumption."""
    prompts: int = 0
    """Distinct prompts among the rows, where rows are responses."""
    steps: int = 0
    global_batch_size: int = 0
    tokens: int = 0
    flops: float = 0.0
    """Model FLOPs."""
    trains: bool = False
    """FLOPs are spent in training, not in generation."""
    flops_per_step: float = 0.0
    phases: tuple[PhaseWork, ...] = field(default=())


class Shapes(Protocol):
    """What the graph knows of policies."""

    def policy_model(self, label: str) -> ModelSpec:
        """The shape of the model that this stage trains or uses."""


def model_label(label: str, stage: Stage) -> str:
    """The stage whose model this stage trains or runs: itself, or one of its refs; empty if it has no model."""
    match stage:
        case Pretrain() | Sft() | Prefer() | RewardModel():
            return label
        case Generate():
            return stage.policies[0]
        case Evaluate():
            return stage.policy
        case Judge(judge=RewardModelJudge() as judge):
            return judge.model
        case Prompts(generator=SelfPrompted() as generator):
            return generator.policy
        case _:
            return ""


def work_of(label: str, stage: Stage, upstream: Mapping[str, Work], shapes: Shapes) -> Work:
    """The work of one stage; `upstream` gives the work of every stage that it refers to."""

    def rows(*refs: str) -> int:
        return sum(upstream[ref].rows for ref in refs)

    match stage:
        case Prompts(generator=SelfPrompted() as generator):
            tokens = int(stage.count * ATTEMPTS_PER_PROMPT) * TOKENS_PER_ROW // 2
            return Work(stage.count, True, tokens=tokens, flops=_forward(shapes.policy_model(generator.policy), tokens))
        case Prompts():
            return Work(stage.count)
        case Annotate():
            return Work(rows(stage.prompts), upstream[stage.prompts].approximate)
        case Tokenizer():
            return Work(rows(*stage.data))
        case Tokenize():
            return Work(rows(stage.data), tokens=rows(stage.data) * TOKENS_PER_ROW)
        case Mix():
            return Work(stage.count)
        case Filter():
            prompts = upstream[stage.responses].prompts
            return Work(int(KEPT_SHARE * prompts * stage.per_prompt), True)
        case Pair():
            return Work(int(PAIRS_PER_PROMPT * upstream[stage.responses].prompts), True)
        case Generate():
            count = rows(stage.prompts) * stage.samples
            tokens = count * TOKENS_PER_ROW
            return Work(
                count,
                upstream[stage.prompts].approximate,
                prompts=rows(stage.prompts),
                tokens=tokens,
                flops=_forward(shapes.policy_model(stage.policies[0]), tokens),
            )
        case Judge(judge=RewardModelJudge() as judge):
            tokens = rows(stage.responses) * TOKENS_PER_ROW
            return Work(rows(stage.responses), tokens=tokens, flops=_forward(shapes.policy_model(judge.model), tokens))
        case Judge():
            return Work(rows(stage.responses))
        case Evaluate():
            tokens = 2 * rows(stage.prompts) * TOKENS_PER_ROW
            return Work(
                2 * rows(stage.prompts), tokens=tokens, flops=_forward(shapes.policy_model(stage.policy), tokens)
            )
        case Pretrain():
            return _pretrain(stage, shapes.policy_model(label))
        case Sft():
            return _training(stage, rows(stage.data), 1, shapes.policy_model(label))
        case Prefer():
            # Two sequences a pair, and one more forward pass (a third of a step) for the reference.
            return _training(stage, rows(stage.data), 2, shapes.policy_model(label))
        case RewardModel():
            source = stage.ratings or stage.responses or stage.preferences
            kept = int(rows(source or "") * (1 - stage.held_out))
            return _training(stage, kept, 1, shapes.policy_model(label))
        case _:
            return Work(0)


def _pretrain(stage: Pretrain, model: ModelSpec) -> Work:
    phases = []
    for phase in stage.phases:
        for ramp, steps in zip(phase.batch_ramp, phase.steps(stage.seq_length), strict=True):
            per_step = ramp.global_batch_size * stage.seq_length
            flops = training_flops(model, per_step, stage.seq_length)
            phases.append(PhaseWork(phase.name, ramp.global_batch_size, steps, steps * per_step, flops))
    steps = sum(phase.steps for phase in phases)
    tokens = sum(phase.tokens for phase in phases)
    flops = sum(phase.steps * phase.flops_per_step for phase in phases)
    last = phases[-1]
    return Work(
        tokens // stage.seq_length,
        steps=steps,
        tokens=tokens,
        flops=flops,
        trains=True,
        flops_per_step=last.flops_per_step,
        global_batch_size=last.global_batch_size,
        phases=tuple(phases),
    )


def _training(stage: Sft | Prefer | RewardModel, rows: int, sequences_per_row: int, model: ModelSpec) -> Work:
    steps = num_steps(rows, stage.epochs, stage.global_batch_size)
    per_step = stage.global_batch_size * sequences_per_row * TOKENS_PER_ROW
    flops = training_flops(model, per_step, TOKENS_PER_ROW)
    return Work(
        rows,
        True,
        steps=steps,
        tokens=steps * per_step,
        flops=steps * flops,
        trains=True,
        flops_per_step=flops,
        global_batch_size=stage.global_batch_size,
    )


def _forward(model: ModelSpec, tokens: int) -> float:
    return training_flops(model, tokens, TOKENS_PER_ROW) / 3

"""How much work each stage is: rows, steps, tokens and model FLOPs, before anything runs.

Rows and their lengths follow the edges. Where a number depends on what a model will say, an assumption stands in;
these are the constants below, and the plan prints such counts as approximate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from compiler.checks.model_use import model_label
from compiler.planning.parameters import training_flops
from compiler.schema.generators import SelfPrompted
from compiler.schema.judges import LLMJudge
from compiler.schema.model import ModelSpec
from compiler.schema.training import num_steps
from compiler.stages import Stage
from compiler.stages.adopt import Adopt
from compiler.stages.annotate import Annotate
from compiler.stages.code import Code
from compiler.stages.dedup import Dedup
from compiler.stages.dialogues import Dialogues
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
from compiler.stages.select import Select
from compiler.stages.sft import Sft
from compiler.stages.split import Split
from compiler.stages.tokenize import Tokenize
from compiler.stages.tokenizer import Tokenizer
from compiler.stages.topics import Topics

ROW_TOKENS = 20
"""Assumed tokens of a prompt of a task family with its answer."""
WRITTEN_PROMPT_TOKENS = 80
"""Assumed tokens of a prompt that a model wrote, or that was adopted with no count."""
ANSWER_SHARE = 0.5
"""Assumed length of an answer, as a share of its limit `max_new_tokens`."""
PAIRS_PER_PROMPT = 0.6
"""Assumed share of prompts whose responses differ enough to make a pair."""
KEPT_SHARE = 0.6
"""Assumed share of prompts with a response that a filter keeps."""
ATTEMPTS_PER_PROMPT = 2.0
"""Assumed prompts (or problems) sampled for each that is kept."""


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
    row_tokens: float = ROW_TOKENS
    """Mean tokens of a row of its output."""
    steps: int = 0
    global_batch_size: int = 0
    tokens: int = 0
    """Trained on, read or written by the model of this stage."""
    served_tokens: int = 0
    """Asked of a server: no work of this cluster's."""
    flops: float = 0.0
    """Model FLOPs."""
    trains: bool = False
    """FLOPs are spent in training, not in generation."""
    flops_per_step: float = 0.0
    phases: tuple[PhaseWork, ...] = field(default=())


class Shapes(Protocol):
    """What the graph knows of policies."""

    def policy_model(self, label: str) -> ModelSpec | None:
        """The shape of the model that this stage trains or is; None of a served model."""


def work_of(label: str, stage: Stage, upstream: Mapping[str, Work], shapes: Shapes) -> Work:
    """The work of one stage; `upstream` gives the work of every stage that it refers to."""
    work = _training(label, stage, upstream, shapes)
    return work or _asking(label, stage, upstream, shapes) or _moving(stage, upstream)


# --- training ---------------------------------------------------------------------------------------------------


def _training(label: str, stage: Stage, upstream: Mapping[str, Work], shapes: Shapes) -> Work | None:
    """Stages that change weights."""
    if not isinstance(stage, Pretrain | Sft | Prefer | RewardModel):
        return None
    model = shapes.policy_model(label)
    assert model is not None
    match stage:
        case Pretrain():
            return _pretrain(stage, model)
        case Sft():
            return _epochs(stage, upstream[stage.data], upstream[stage.data].rows, 1, model)
        case Prefer():
            # Two sequences a pair, and one more forward pass (a third of a step) for the reference.
            return _epochs(stage, upstream[stage.data], upstream[stage.data].rows, 2, model)
        case RewardModel():
            data = upstream[stage.ratings or stage.responses or stage.preferences or ""]
            return _epochs(stage, data, int(data.rows * (1 - stage.held_out)), 2 if stage.preferences else 1, model)


def _pretrain(stage: Pretrain, model: ModelSpec) -> Work:
    phases = []
    for phase in stage.phases:
        for ramp, steps in zip(phase.batch_ramp, phase.steps(stage.seq_length), strict=True):
            per_step = ramp.global_batch_size * stage.seq_length
            flops = training_flops(model, per_step, stage.seq_length)
            phases.append(PhaseWork(phase.name, ramp.global_batch_size, steps, steps * per_step, flops))
    steps = sum(phase.steps for phase in phases)
    tokens = sum(phase.tokens for phase in phases)
    last = phases[-1]
    return Work(
        tokens // stage.seq_length,
        row_tokens=stage.seq_length,
        steps=steps,
        tokens=tokens,
        flops=sum(phase.steps * phase.flops_per_step for phase in phases),
        trains=True,
        flops_per_step=last.flops_per_step,
        global_batch_size=last.global_batch_size,
        phases=tuple(phases),
    )


def _epochs(stage: Sft | Prefer | RewardModel, data: Work, rows: int, sequences_per_row: int, model: ModelSpec) -> Work:
    length = max(1, min(round(data.row_tokens), model.seq_length))
    steps = num_steps(rows, stage.epochs, stage.global_batch_size)
    per_step = stage.global_batch_size * sequences_per_row * length
    flops = training_flops(model, per_step, length)
    return Work(
        rows,
        True,
        row_tokens=length,
        steps=steps,
        tokens=steps * per_step,
        flops=steps * flops,
        trains=True,
        flops_per_step=flops,
        global_batch_size=stage.global_batch_size,
    )


# --- asking a model -------------------------------------------------------------------------------------------------


def _asking(label: str, stage: Stage, upstream: Mapping[str, Work], shapes: Shapes) -> Work | None:
    """Stages that run a model and change none."""
    asked = model_label(label, stage)
    if not asked:
        return None
    work = _asked(stage, upstream)
    model = shapes.policy_model(asked)
    if model is None:
        return replace(work, served_tokens=work.tokens, tokens=0)
    length = max(1, min(round(work.row_tokens), model.seq_length))
    return replace(work, flops=training_flops(model, work.tokens, length) / 3)


def _asked(stage: Stage, upstream: Mapping[str, Work]) -> Work:
    match stage:
        case Prompts(generator=SelfPrompted()):
            tokens = int(stage.count * ATTEMPTS_PER_PROMPT) * ROW_TOKENS // 2
            return Work(stage.count, True, tokens=tokens)
        case Prompts():
            tokens = int(stage.count * ATTEMPTS_PER_PROMPT) * 2 * WRITTEN_PROMPT_TOKENS
            return Work(stage.count, True, row_tokens=WRITTEN_PROMPT_TOKENS, tokens=tokens)
        case Topics():
            return Work(stage.count, True, row_tokens=4, tokens=int(stage.count * ATTEMPTS_PER_PROMPT) * 8)
        case Generate():
            prompts = upstream[stage.prompts]
            length = _answered(prompts, stage.sampling.max_new_tokens)
            count = prompts.rows * stage.samples
            tokens = int(count * length)
            return Work(count, prompts.approximate, prompts=prompts.rows, row_tokens=length, tokens=tokens)
        case Dialogues():
            prompts = upstream[stage.prompts]
            answer = ANSWER_SHARE * stage.sampling.max_new_tokens
            length = prompts.row_tokens + (2 * stage.turns - 1) * answer
            # Each turn reads the history again: half of the dialogue's length in the mean.
            tokens = int(prompts.rows * length * stage.turns)
            kept = KEPT_SHARE if stage.judge else 1.0
            return Work(int(prompts.rows * kept), True, row_tokens=length, tokens=tokens)
        case Code():
            problem = ANSWER_SHARE * stage.instructor_sampling.max_new_tokens
            answer = ANSWER_SHARE * stage.coder_sampling.max_new_tokens
            tokens = int(stage.count * ATTEMPTS_PER_PROMPT * (problem * (1 + stage.parents) + answer))
            return Work(stage.count, True, row_tokens=problem + answer, tokens=tokens)
        case Judge(judge=LLMJudge() as judge):
            responses = upstream[stage.responses]
            per_prompt = responses.rows / max(1, responses.prompts)
            comparisons = responses.prompts * per_prompt * (per_prompt - 1)
            tokens = int(comparisons * (2 * responses.row_tokens + ANSWER_SHARE * judge.sampling.max_new_tokens))
            return Work(responses.rows, responses.approximate, row_tokens=responses.row_tokens, tokens=tokens)
        case Judge():
            responses = upstream[stage.responses]
            tokens = int(responses.rows * responses.row_tokens)
            return Work(responses.rows, row_tokens=responses.row_tokens, tokens=tokens)
        case Evaluate():
            prompts = upstream[stage.prompts]
            length = _answered(prompts, stage.max_new_tokens)
            return Work(2 * prompts.rows, row_tokens=length, tokens=int(2 * prompts.rows * length))
        case _:
            raise AssertionError(f"a stage of kind {getattr(stage, 'kind', '')} asks a model")


def _answered(prompts: Work, max_new_tokens: int) -> float:
    """Tokens of a prompt with its answer. A task family's own rows count with their answers already."""
    if prompts.row_tokens == ROW_TOKENS:
        return ROW_TOKENS
    return prompts.row_tokens + ANSWER_SHARE * max_new_tokens


# --- moving rows ----------------------------------------------------------------------------------------------------


def _moving(stage: Stage, upstream: Mapping[str, Work]) -> Work:
    """Stages without a model."""
    match stage:
        case Adopt():
            length = stage.tokens / stage.rows if stage.tokens and stage.rows else WRITTEN_PROMPT_TOKENS
            return Work(stage.rows or 0, stage.rows is None, row_tokens=length, prompts=stage.rows or 0)
        case Prompts():
            return Work(stage.count)
        case Annotate():
            prompts = upstream[stage.prompts]
            return Work(prompts.rows, prompts.approximate, row_tokens=prompts.row_tokens)
        case Tokenizer():
            return Work(sum(upstream[ref].rows for ref in stage.data))
        case Tokenize():
            data = upstream[stage.data]
            return Work(data.rows, row_tokens=data.row_tokens, tokens=int(data.rows * data.row_tokens))
        case Mix():
            weights = sum(stage.data.values())
            length = sum(weight * upstream[ref].row_tokens for ref, weight in stage.data.items()) / weights
            return Work(stage.count, row_tokens=length)
        case Split():
            data = upstream[stage.data]
            share = sum(stage.split.shares.get(part, 0.0) for part in stage.parts)
            return Work(int(data.rows * share), True, row_tokens=data.row_tokens)
        case Select() | Dedup():
            data = upstream[stage.data]
            return Work(data.rows, True, row_tokens=data.row_tokens)
        case Filter():
            responses = upstream[stage.responses]
            kept = int(KEPT_SHARE * responses.prompts * stage.per_prompt)
            return Work(kept, True, row_tokens=responses.row_tokens)
        case Pair():
            responses = upstream[stage.responses]
            return Work(int(PAIRS_PER_PROMPT * responses.prompts), True, row_tokens=responses.row_tokens)
        case Judge():
            responses = upstream[stage.responses]
            return Work(responses.rows, row_tokens=responses.row_tokens)
        case _:
            return Work(0)

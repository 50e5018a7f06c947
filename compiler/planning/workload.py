"""How much work each stage is: rows, steps, tokens and model FLOPs, before anything runs.

Rows and their lengths follow the edges. Where a number depends on what a model will say, an assumption stands in;
these are the constants below, and the plan prints such counts as approximate.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from compiler.planning.asking import (
    ANSWER_SHARE,
    ATTEMPTS_PER_TASK,
    INSTRUCTION_TOKENS,
    ROW_TOKENS,
    TOPIC_TOKENS,
    WRITTEN_PROMPT_TOKENS,
    Ask,
    answered,
    asks_of,
)
from compiler.schema.generators import InstructionFollowing, SelfPrompted
from compiler.schema.model import ModelSpec
from compiler.schema.training import num_steps
from compiler.stages import Stage
from compiler.stages.adopt import Adopt
from compiler.stages.annotate import Annotate
from compiler.stages.code import Code
from compiler.stages.dedup import Dedup
from compiler.stages.dialogues import Dialogues
from compiler.stages.evaluate import Evaluate
from compiler.stages.examine import Examine
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

PAIRS_PER_PROMPT = 0.6
"""Assumed share of prompts whose responses differ enough to make a pair."""
KEPT_SHARE = 0.6
"""Assumed share of prompts with a response that a filter keeps."""


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
    answer_tokens: float | None = None
    """Of these, the answer's, where rows are responses, or pairs of them; None where nobody has said."""
    steps: int = 0
    global_batch_size: int = 0
    tokens: int = 0
    """Trained on, read or written by the model of this stage."""
    asks: tuple[Ask, ...] = ()
    """Requests to models that the stage does not change."""
    flops: float = 0.0
    """Model FLOPs of all that is trained, and asked of models of ours."""
    trains: bool = False
    """FLOPs are spent in training, not in generation."""
    flops_per_step: float = 0.0
    phases: tuple[PhaseWork, ...] = field(default=())

    @property
    def served_tokens(self) -> int:
        """Asked of servers: no work of this cluster's GPUs."""
        return int(sum(ask.tokens for ask in self.asks if ask.server))


class Shapes(Protocol):
    """What the graph knows of policies."""

    def policy_model(self, label: str) -> ModelSpec | None:
        """The shape of the model that this stage trains or is; None of a served model."""

    def served_model(self, label: str) -> str:
        """What servers call the model of this endpoint stage; empty of other stages."""

    def weight_bytes(self, label: str) -> float:
        """Of one weight of the model that this stage makes."""


def work_of(label: str, stage: Stage, upstream: Mapping[str, Work], shapes: Shapes) -> Work:
    """The work of one stage; `upstream` gives the work of every stage that it refers to."""
    work = _training(label, stage, upstream, shapes)
    return work or _asking(stage, upstream, shapes) or _moving(stage, upstream)


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
            return _epochs(stage, upstream[stage.data], upstream[stage.data].rows, 1.0, model)
        case Prefer():
            # The frozen reference reads each pair once, before the first step.
            pairs = upstream[stage.data]
            whole_rows = _rows_in_a_pair(pairs)
            work = _epochs(stage, pairs, pairs.rows, whole_rows, model)
            asks = tuple(
                replace(ask, prompt_tokens=work.row_tokens * whole_rows / 2)
                for ask in _known(asks_of(stage, upstream), shapes)
            )
            return replace(work, asks=asks, flops=work.flops + sum(map(_flops, asks)))
        case RewardModel():
            data = upstream[stage.ratings or stage.responses or stage.preferences or ""]
            whole_rows = _rows_in_a_pair(data) if stage.preferences else 1.0
            return _epochs(stage, data, int(data.rows * (1 - stage.held_out)), whole_rows, model)


def _rows_in_a_pair(pairs: Work) -> float:
    """Rows of prompt and answer that a pair is as long as: its two answers share their prompt, which is read once; of
    pairs whose prompts nobody has counted, it counts twice."""
    return 2.0 if pairs.answer_tokens is None else 1 + pairs.answer_tokens / pairs.row_tokens


def _pretrain(stage: Pretrain, model: ModelSpec) -> Work:
    phases = []
    for phase in stage.phases:
        for ramp, steps in zip(phase.batch_ramp, phase.steps(stage.seq_length), strict=True):
            per_step = ramp.global_batch_size * stage.seq_length
            flops = model.training_flops(per_step, stage.seq_length)
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


def _epochs(stage: Sft | Prefer | RewardModel, data: Work, rows: int, lengths_per_row: float, model: ModelSpec) -> Work:
    length = max(1, min(round(data.row_tokens), model.seq_length))
    steps = num_steps(rows, stage.epochs, stage.global_batch_size)
    per_step = round(stage.global_batch_size * lengths_per_row * length)
    flops = model.training_flops(per_step, length)
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


def _asking(stage: Stage, upstream: Mapping[str, Work], shapes: Shapes) -> Work | None:
    """Stages that ask models and change none: of this cluster, served, or both."""
    asks = _known(asks_of(stage, upstream), shapes)
    if not asks:
        return None
    ours = [ask for ask in asks if ask.model is not None]
    work = _made_by_asking(stage, upstream)
    return replace(work, asks=asks, tokens=int(sum(ask.tokens for ask in ours)), flops=sum(map(_flops, ours)))


def _known(asks: Iterator[Ask], shapes: Shapes) -> tuple[Ask, ...]:
    """With the shape of what is ours, and the name of what is served."""
    return tuple(
        replace(
            ask,
            model=shapes.policy_model(ask.label),
            server=shapes.served_model(ask.label),
            dtype_bytes=shapes.weight_bytes(ask.label),
        )
        for ask in asks
    )


def _flops(ask: Ask) -> float:
    """Forward only: a third of training's."""
    assert ask.model is not None
    length = max(1, min(round(ask.prompt_tokens + ask.new_tokens), ask.model.seq_length))
    return ask.model.training_flops(int(ask.computed_tokens), length) / 3


def _made_by_asking(stage: Stage, upstream: Mapping[str, Work]) -> Work:
    """Rows of the output, and their length."""
    match stage:
        case Prompts(generator=SelfPrompted() as generator):
            return Work(min(stage.count, int(generator.max_attempts / ATTEMPTS_PER_TASK)), True)
        case Prompts():
            return Work(stage.count, True, row_tokens=WRITTEN_PROMPT_TOKENS)
        case Topics():
            return Work(stage.count, True, row_tokens=TOPIC_TOKENS)
        case Generate():
            prompts = upstream[stage.prompts]
            length = answered(prompts, stage.sampling.max_new_tokens)
            answer = max(ask.new_tokens for ask in asks_of(stage, upstream))
            rows = prompts.rows * stage.samples
            return Work(rows, prompts.approximate, prompts=prompts.rows, row_tokens=length, answer_tokens=answer)
        case Dialogues():
            prompts = upstream[stage.prompts]
            length = prompts.row_tokens + (2 * stage.turns - 1) * ANSWER_SHARE * stage.sampling.max_new_tokens
            kept = KEPT_SHARE if stage.judge else 1.0
            return Work(int(prompts.rows * kept), True, row_tokens=length)
        case Code():
            new = stage.instructor_sampling.max_new_tokens + stage.coder_sampling.max_new_tokens
            return Work(stage.count, True, row_tokens=ANSWER_SHARE * new)
        case Judge():
            responses = upstream[stage.responses]
            return Work(responses.rows, responses.approximate, row_tokens=responses.row_tokens)
        case Examine():
            pairs = upstream[stage.preferences]
            return Work(pairs.rows, pairs.approximate, row_tokens=pairs.row_tokens)
        case Evaluate():
            prompts = upstream[stage.prompts]
            return Work(2 * prompts.rows, row_tokens=answered(prompts, stage.max_new_tokens))
        case _:
            raise AssertionError(f"a stage of kind {getattr(stage, 'kind', '')} asks a model")


# --- moving rows ----------------------------------------------------------------------------------------------------


def _moving(stage: Stage, upstream: Mapping[str, Work]) -> Work:
    """Stages without a model."""
    match stage:
        case Adopt():
            length = stage.tokens / stage.rows if stage.tokens and stage.rows else WRITTEN_PROMPT_TOKENS
            return Work(stage.rows or 0, stage.rows is None, row_tokens=length, prompts=stage.rows or 0)
        case Prompts(generator=InstructionFollowing() as generator):
            length = upstream[generator.prompts].row_tokens + INSTRUCTION_TOKENS
            return Work(stage.count, row_tokens=length)
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
            answers = [(weight, upstream[ref].answer_tokens) for ref, weight in stage.data.items()]
            known = [weight * answer for weight, answer in answers if answer is not None]
            answer_tokens = sum(known) / weights if len(known) == len(answers) else None
            return Work(stage.count, row_tokens=length, answer_tokens=answer_tokens)
        case Split():
            data = upstream[stage.data]
            share = sum(stage.split.shares.get(part, 0.0) for part in stage.parts)
            return replace(_handed_on(data), rows=int(data.rows * share))
        case Select() | Dedup():
            return _handed_on(upstream[stage.data])
        case Filter():
            responses = upstream[stage.responses]
            kept = int(KEPT_SHARE * responses.prompts * stage.per_prompt)
            return Work(kept, True, row_tokens=responses.row_tokens, answer_tokens=responses.answer_tokens)
        case Pair():
            responses = upstream[stage.responses]
            rows = int(PAIRS_PER_PROMPT * responses.prompts)
            return Work(rows, True, row_tokens=responses.row_tokens, answer_tokens=responses.answer_tokens)
        case Judge():
            responses = upstream[stage.responses]
            return Work(responses.rows, row_tokens=responses.row_tokens)
        case _:
            return Work(0)


def _handed_on(data: Work) -> Work:
    """Some of the rows, as they are."""
    return Work(data.rows, True, row_tokens=data.row_tokens, answer_tokens=data.answer_tokens)

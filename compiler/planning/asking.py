"""What stages ask of models: how many requests to whom, and how many tokens each reads and writes.

Where a number depends on what a model will say, an assumption stands in: the constants below.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from compiler.schema.generators import ClosedQA, InstructionFollowing, SelfPrompted, TwoTurn
from compiler.schema.judges import Judge as JudgeSpec
from compiler.schema.judges import LLMGrade, LLMJudge, LLMLikelihood, RewardModelJudge
from compiler.schema.model import ModelSpec
from compiler.schema.topics import Classified, Generated
from compiler.stages import Stage
from compiler.stages.code import Code
from compiler.stages.dialogues import Dialogues
from compiler.stages.evaluate import Evaluate
from compiler.stages.examine import Examine
from compiler.stages.generate import Generate
from compiler.stages.judge import Judge
from compiler.stages.prefer import Prefer
from compiler.stages.prompts import Prompts
from compiler.stages.topics import Topics

ROW_TOKENS = 20
"""Assumed tokens of a prompt of a task family with its answer,"""
TASK_ANSWER_TOKENS = 5
"""and of the answer alone."""
WRITTEN_PROMPT_TOKENS = 80
"""Assumed tokens of a prompt that a model wrote, or that was adopted with no count; and of one that asks for it."""
INSTRUCTION_TOKENS = 20
"""Assumed tokens that an instruction which a program can verify adds to its prompt."""
TOPIC_TOKENS = 4
"""Assumed tokens of a topic."""
ANSWER_SHARE = 0.5
"""Assumed length of an answer, as a share of its limit `max_new_tokens`."""
ATTEMPTS_PER_PROMPT = 2.0
"""Assumed prompts (or problems) sampled for each that is kept;"""
ATTEMPTS_PER_TASK = 8.0
"""where a small policy writes a task family's prompts by itself, by which few are well-formed and new."""


@dataclass(frozen=True)
class Ask:
    """Requests of one sort to one model, of ours or served."""

    label: str
    """Of the stage that makes the model, or that names the served one."""
    requests: float
    prompt_tokens: float
    """That are read for each request, in the mean."""
    new_tokens: float = 0.0
    """That are written, in the mean; 0 where rows are only scored."""
    longest: int = 0
    """Most that may be written."""
    answers: float = 1.0
    """To each prompt, which a model of ours reads once for all of them."""
    model: ModelSpec | None = None
    """The shape of a model of ours;"""
    server: str = ""
    """or what a served one is called."""
    dtype_bytes: float = 2.0
    """Of a weight of ours."""

    @property
    def tokens(self) -> float:
        """Read and written, of all requests."""
        return self.requests * (self.prompt_tokens + self.new_tokens)

    @property
    def computed_tokens(self) -> float:
        """Of these, what a model of ours computes."""
        return self.requests * (self.prompt_tokens / self.answers + self.new_tokens)


class Rows(Protocol):
    """What is known of the rows of a stage."""

    @property
    def rows(self) -> int:
        """How many."""

    @property
    def prompts(self) -> int:
        """Distinct prompts among them, where they are responses."""

    @property
    def row_tokens(self) -> float:
        """Mean tokens of one."""


def asks_of(stage: Stage, upstream: Mapping[str, Rows]) -> Iterator[Ask]:
    """Every sort of request that the stage makes; none of a stage that asks no model."""
    match stage:
        case Prompts():
            yield from _asks_for_prompts(stage, upstream)
        case Topics():
            yield from _asks_for_topics(stage, upstream)
        case Generate():
            prompts = upstream[stage.prompts]
            samples = stage.samples / len(stage.policies)
            for policy in stage.policies:
                asked = _answer(policy, prompts.rows * samples, prompts, stage.sampling.max_new_tokens)
                yield replace(asked, answers=max(1.0, samples))
        case Dialogues():
            prompts, answer = upstream[stage.prompts], ANSWER_SHARE * stage.sampling.max_new_tokens
            # Both sides are written, but the opening; each reads what stands so far.
            read = prompts.row_tokens + (stage.turns - 1) * answer
            requests = prompts.rows * (2 * stage.turns - 1)
            yield Ask(stage.policy, requests, read, answer, stage.sampling.max_new_tokens)
            if stage.judge is not None:
                whole = prompts.row_tokens + (2 * stage.turns - 1) * answer
                yield Ask(stage.judge.model, prompts.rows, whole)
        case Code():
            yield from _asks_for_code(stage)
        case Judge():
            responses = upstream[stage.responses]
            yield from judged(stage.judge, responses.rows, responses.row_tokens, max(1, responses.prompts))
        case Examine():
            pairs = upstream[stage.preferences]
            yield from judged(stage.judge, 2 * pairs.rows, pairs.row_tokens, pairs.rows)
        case Evaluate():
            prompts = upstream[stage.prompts]
            yield _answer(stage.policy, 2 * prompts.rows, prompts, stage.max_new_tokens)
            for judge in (stage.reward, stage.grade):
                if judge is not None:
                    yield from judged(judge, prompts.rows, answered(prompts, stage.max_new_tokens), prompts.rows)
        case Prefer():
            pairs = upstream[stage.data]
            yield Ask(stage.reference, 2 * pairs.rows, pairs.row_tokens)
        case _:
            return


def judged(judge: JudgeSpec, rows: float, row_tokens: float, prompts: float) -> Iterator[Ask]:
    """What a judge asks of its model to score so many rows, which answer so many prompts."""
    match judge:
        case RewardModelJudge():
            yield Ask(judge.model, rows, row_tokens)
        case LLMGrade():
            new = ANSWER_SHARE * judge.sampling.max_new_tokens
            yield Ask(judge.model, rows, WRITTEN_PROMPT_TOKENS + row_tokens, new, judge.sampling.max_new_tokens)
        case LLMJudge() | LLMLikelihood():
            # Each pair of answers to one prompt in both orders.
            per_prompt = rows / max(1, prompts)
            comparisons = prompts * per_prompt * (per_prompt - 1)
            longest = judge.sampling.max_new_tokens if isinstance(judge, LLMJudge) else 0
            read = WRITTEN_PROMPT_TOKENS + 2 * row_tokens
            yield Ask(judge.model, comparisons, read, ANSWER_SHARE * longest, longest)
        case _:
            return


def answered(prompts: Rows, max_new_tokens: int) -> float:
    """Tokens of a prompt with its answer. A task family's own rows count with their answers already."""
    if prompts.row_tokens == ROW_TOKENS:
        return ROW_TOKENS
    return prompts.row_tokens + ANSWER_SHARE * max_new_tokens


def _answer(model: str, requests: float, prompts: Rows, max_new_tokens: int) -> Ask:
    whole = answered(prompts, max_new_tokens)
    read = ROW_TOKENS - TASK_ANSWER_TOKENS if whole == ROW_TOKENS else prompts.row_tokens
    return Ask(model, requests, read, whole - read, max_new_tokens)


def _asks_for_prompts(stage: Prompts, upstream: Mapping[str, Rows]) -> Iterator[Ask]:
    generator, requests = stage.generator, stage.count * ATTEMPTS_PER_PROMPT
    match generator:
        case SelfPrompted():
            attempts = min(generator.max_attempts, stage.count * ATTEMPTS_PER_TASK)
            yield Ask(generator.policy, attempts, 1, ROW_TOKENS - TASK_ANSWER_TOKENS, ROW_TOKENS)
        case TwoTurn() | InstructionFollowing(model=str()):
            assert generator.model is not None and generator.sampling is not None
            answer = _answer(
                generator.model, stage.count, upstream[generator.prompts], generator.sampling.max_new_tokens
            )
            yield answer
            yield Ask(
                generator.model,
                requests,
                answer.prompt_tokens + answer.new_tokens,
                WRITTEN_PROMPT_TOKENS,
                answer.longest,
            )
        case ClosedQA():
            read = WRITTEN_PROMPT_TOKENS + upstream[generator.documents].row_tokens
            yield Ask(generator.model, requests, read, WRITTEN_PROMPT_TOKENS, generator.sampling.max_new_tokens)
        case _ if getattr(generator, "model", None):
            longest = generator.sampling.max_new_tokens  # type: ignore[union-attr]
            yield Ask(generator.model, requests, WRITTEN_PROMPT_TOKENS, WRITTEN_PROMPT_TOKENS, longest)  # type: ignore[union-attr,arg-type]
        case _:
            return


def _asks_for_topics(stage: Topics, upstream: Mapping[str, Rows]) -> Iterator[Ask]:
    for source in stage.sources:
        match source:
            case Generated():
                # Broad topics at each level, then narrower ones of each; every answer is asked for again as a list.
                requests = 2 * max(1, len(source.levels)) * (1 + source.macro_topics)
                new = TOPIC_TOKENS * source.subtopics
                yield Ask(source.model, requests, WRITTEN_PROMPT_TOKENS, new, source.sampling.max_new_tokens)
            case Classified():
                rows = upstream[source.entities].rows
                yield Ask(source.model, rows, WRITTEN_PROMPT_TOKENS, 1, source.sampling.max_new_tokens)


def _asks_for_code(stage: Code) -> Iterator[Ask]:
    problem = ANSWER_SHARE * stage.instructor_sampling.max_new_tokens
    answer = ANSWER_SHARE * stage.coder_sampling.max_new_tokens
    requests = stage.count * ATTEMPTS_PER_PROMPT
    read = WRITTEN_PROMPT_TOKENS + stage.parents * problem
    yield Ask(stage.instructor, requests, read, problem, stage.instructor_sampling.max_new_tokens)
    yield Ask(stage.coder, requests, problem, answer, stage.coder_sampling.max_new_tokens)
    yield from judged(stage.fitness, requests, problem + answer, requests)

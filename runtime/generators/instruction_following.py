"""instruction_following: prompts of others, each with an instruction whose following a program can verify.

Instructions that a prompt carries already stay: an answer has to follow them too.

This is the text side: which instruction goes with which prompt is a function of the seed and the prompt alone. What an
assistant says in between (multi_turn, second_turn) is given to `finish`.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from compiler.artifacts import Message, PromptRow
from compiler.render import render
from compiler.schema.generators import InstructionFollowing
from runtime import instructions
from runtime.asking import Asker, Question, Rejected
from runtime.rows import messages_id
from runtime.verifiers import VERIFIER

FAMILY = "instruction_following"
_VARIANTS = 12
"""A multiple of every number of ways in which words can be joined."""
_PASSES = 100
"""Instructions that one prompt is given at most."""


@dataclass(frozen=True)
class Draft:
    """A prompt to be: what the user says before and after the assistant answers in between."""

    name: str
    """Names its randomness: the prompt, and which of its instructions this is."""
    before: tuple[Message, ...]
    """Up to the turn that an assistant has to answer; empty where nobody answers in between."""
    last: tuple[Message, ...]
    """What ends the prompt: a user turn, after the whole conversation where nobody answers in between."""
    check: dict[str, Any]
    made_from: tuple[str, ...]
    """Ids of the prompts that it is made from."""


def drafts(spec: InstructionFollowing, prompts: Sequence[PromptRow], seed: int) -> Iterator[Draft]:
    """Every prompt in random order with an instruction, then every prompt with another one, and so on, not for ever."""
    for number in range(_PASSES if prompts else 0):
        order = list(prompts)
        random.Random(f"{seed}/{number}/order").shuffle(order)
        for place, prompt in enumerate(order):
            rng = random.Random(f"{seed}/{number}/{prompt.id}")
            yield _draft(spec, prompt, order[place - 1], f"{prompt.id}-{number}", rng)


def write(
    spec: InstructionFollowing, some: Sequence[Draft], asker: Asker | None, ledger: str
) -> Iterator[PromptRow | Rejected]:
    """These drafts, finished; a model answers in between where the form has an answer in between."""
    if asker is None:
        yield from (finish(one, None) for one in some)
        return
    answers = asker.ask([Question(one.name, one.before) for one in some], ledger)
    for one, answer in zip(some, answers, strict=True):
        yield answer if isinstance(answer, Rejected) else finish(one, answer)


def finish(draft: Draft, answer: str | None) -> PromptRow:
    """The prompt, with what the assistant said in between."""
    between = () if answer is None else (Message(role="assistant", content=answer),)
    messages = (*draft.before, *between, *draft.last)
    return PromptRow(
        id=messages_id(messages),
        family=FAMILY,
        messages=messages,
        origin=FAMILY,
        check=draft.check,
        made_from=draft.made_from,
    )


def _draft(spec: InstructionFollowing, prompt: PromptRow, other: PromptRow, name: str, rng: random.Random) -> Draft:
    *earlier, turn = prompt.messages
    last = other if spec.form == "multi_turn" else prompt
    answered = last.messages[-1].content
    kind = _choose(spec, rng)
    parameters = instructions.draw(kind, answered, rng)
    instruction = instructions.words(kind, parameters, rng.randrange(_VARIANTS))
    check = {VERIFIER: "instructions", "instructions": [*_carried(last), {"type": kind, **parameters}]}
    variant, made_from = rng.randrange(_VARIANTS), (prompt.id,)
    match spec.form:
        case "single_turn":
            return Draft(
                name, (), (*earlier, _said(spec.form, variant, instruction, prompt=turn.content)), check, made_from
            )
        case "multi_turn":
            first = _said(spec.form, variant, instruction, prompt=turn.content)
            return Draft(name, (*earlier, first), (other.messages[-1],), check, (*made_from, other.id))
        case "second_turn":
            return Draft(name, prompt.messages, (_said(spec.form, variant, instruction),), check, made_from)


def _carried(prompt: PromptRow) -> Sequence[Mapping[str, Any]]:
    """The instructions that answers to this prompt have to follow as it is."""
    if prompt.check is None or prompt.check[VERIFIER] != "instructions":
        return ()
    carried: Sequence[Mapping[str, Any]] = prompt.check["instructions"]
    return carried


def _choose(spec: InstructionFollowing, rng: random.Random) -> str:
    names = sorted(spec.instructions)
    (name,) = rng.choices(names, [spec.instructions[one] for one in names])
    return rng.choice(instructions.types_of(name))


def _said(
    form: Literal["single_turn", "multi_turn", "second_turn"], variant: int, instruction: str, **values: str
) -> Message:
    text = render(f"prompts/instructed_{form}.j2", instruction=instruction, variant=variant, **values)
    return Message(role="user", content=text.strip())

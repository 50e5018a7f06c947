"""two_turn: first turns of others, answered, and then a second user turn, both by a model."""

from collections.abc import Iterator, Sequence

from compiler.artifacts import Message, PromptRow
from compiler.render import render
from compiler.schema.generators import TwoTurn
from runtime.asking import Asker, Question, Rejected, question
from runtime.role_play import user_turn
from runtime.written import Written, row


def write(spec: TwoTurn, prompts: Sequence[PromptRow], asker: Asker, ledger: str) -> Iterator[Written]:
    """One prompt of two turns for each of these, or why there is none."""
    answers = asker.ask([Question(one.id, one.messages) for one in prompts], ledger)
    histories = [
        answer if isinstance(answer, Rejected) else (*prompt.messages, Message(role="assistant", content=answer))
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    asked = [
        question(prompt.id, "prompts/user_normal.j2", messages=history)
        for prompt, history in zip(prompts, histories, strict=True)
        if not isinstance(history, Rejected)
    ]
    instructions = render("prompts/user_normal.j2", messages=())
    turns = asker.ask(asked, f"{ledger}-second")
    for prompt, history in zip(prompts, histories, strict=True):
        if isinstance(history, Rejected):
            yield history
            continue
        said = next(turns)
        turn = said if isinstance(said, Rejected) else user_turn(said, history, instructions=instructions)
        yield turn if isinstance(turn, Rejected) else row(spec.kind, *history, turn, made_from=(prompt.id,))

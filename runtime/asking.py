"""Questions to a model, one message each, and what comes back: words, or why there are none.

What a model says is data: it is filled into templates as a value and never read as one.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from compiler.artifacts import Message
from compiler.render import render
from compiler.schema.sampling import Sampling
from runtime import lists
from runtime.clients.request import Completion, LanguageModel, Request

CUT_OFF, EMPTY = "cut off", "empty answer"
AS_LIST = "prompts/answer_as_list.j2"


class Rejected(NamedTuple):
    """Why something that a model said is not used."""

    reason: str


class Question(NamedTuple):
    """What is asked, and the name of its randomness."""

    key: str
    messages: tuple[Message, ...]


def question(key: str, template: str, **values: object) -> Question:
    """A template, filled in, as a user's only message."""
    return Question(key, (Message(role="user", content=render(template, **values).strip()),))


class Asker(NamedTuple):
    """An open model and how it is asked; each `ask` of a stage has another ledger."""

    model: LanguageModel
    sampling: Sampling
    seed: int

    def ask(self, questions: Iterable[Question], ledger: str) -> Iterator[str | Rejected]:
        """The answer to each question, in order."""
        for found in self.complete(questions, ledger):
            yield found if isinstance(found, Rejected) else found.text.strip()

    def complete(self, questions: Iterable[Question], ledger: str) -> Iterator[Completion | Rejected]:
        """The same with tokens."""
        requests = (Request(one.key, one.messages, self.sampling, self.seed) for one in questions)
        return map(_usable, self.model.ask(requests, ledger=ledger))

    def ask_lists(self, questions: Sequence[Question], ledger: str) -> list[tuple[str, ...] | Rejected]:
        """The list that each answer is. One that is no plain list is shown to the model again, to be written as one;
        then each item must stand in the first answer, word for word."""
        answers = list(self.ask(questions, ledger))
        found: dict[int, tuple[str, ...] | Rejected] = {}
        unclear: dict[int, str] = {}
        for number, answer in enumerate(answers):
            items = answer if isinstance(answer, Rejected) else lists.numbered(answer)
            if items is not None:
                found[number] = items
            elif isinstance(answer, str):
                unclear[number] = answer
        again = [question(questions[number].key, AS_LIST, answer=answer) for number, answer in unclear.items()]
        if again:
            second = self.ask(again, f"{ledger}-as-list")
            found |= {
                number: _checked(said, answer) for (number, answer), said in zip(unclear.items(), second, strict=True)
            }
        return [found[number] for number in range(len(questions))]


def _usable(completion: Completion) -> Completion | Rejected:
    if completion.rejected:
        return Rejected(completion.rejected)
    if not completion.finished:
        return Rejected(CUT_OFF)
    return completion if completion.text.strip() else Rejected(EMPTY)


def _checked(said: str | Rejected, answer: str) -> tuple[str, ...] | Rejected:
    if isinstance(said, Rejected):
        return said
    items = lists.bulleted(said)
    if items is None:
        return Rejected(lists.NO_LIST)
    return items if all(lists.stands_in(item, answer) for item in items) else Rejected(lists.NOT_SAID)

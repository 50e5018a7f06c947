"""Records of other people's files -> rows of ours, or why not, with the file and the line."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from compiler.artifacts import (
    ATTRIBUTES,
    DialogueRow,
    DocumentRow,
    Message,
    PreferenceRow,
    PromptRow,
    RatingRow,
    TopicRow,
)
from compiler.schema.base import Record
from compiler.schema.sources import Rows
from compiler.stages.adopt import LABELLED, REWARDS, Adopt
from runtime import verifiers
from runtime.formats.records import Located, field
from runtime.rows import messages_id

_MOST_PROBLEMS = 10
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


class Adopted:
    """The rows of some records, read one by one; counts what was left out."""

    def __init__(self, stage: Adopt, source: Rows, records: Iterator[Located]) -> None:
        self._stage, self._source, self._records = stage, source, records
        self.duplicates = 0
        self.with_check = 0
        self.partners = Partners() if is_labelled(source) else None

    def rows(self) -> Iterator[Record]:
        """Each row; ValueError at the end, with the first mistakes of the files, where there are any. Of equal prompts
        and equal topics the first is kept: their ids would be equal."""
        make = _MAKERS[self._stage.artifact] if self.partners is None else self.partners.pair
        problems: list[str] = []
        seen: set[str] = set()
        for record in self._records:
            try:
                row = make(_Fields(self._stage, self._source, record))
            except ValueError as error:
                problems.append(f"{record.place}: {_words(error)}")
                if len(problems) == _MOST_PROBLEMS:
                    break
                continue
            if row is None:
                continue
            if isinstance(row, PromptRow | TopicRow):
                if row.id in seen:
                    self.duplicates += 1
                    continue
                seen.add(row.id)
                self.with_check += isinstance(row, PromptRow) and row.check is not None
            if not problems:
                yield row
        if problems:
            raise ValueError("; ".join(problems))


class _Fields:
    """One record by our names."""

    def __init__(self, stage: Adopt, source: Rows, record: Located) -> None:
        self.stage, self.source, self.record = stage, source, record

    def find(self, name: str) -> Any:
        """The value of our field, None where the record has none; what the recipe names must be there."""
        path = self.source.fields.get(name, name)
        value = field(self.record.fields, path)
        if value is None and name in self.source.fields:
            raise ValueError(f"there is no {path!r}, which is to be `{name}`")
        return value

    def need(self, name: str) -> Any:
        value = self.find(name)
        if value is None:
            hint = f"; name theirs in `source.fields.{name}`" if name not in self.source.fields else ""
            raise ValueError(f"there is no field {name!r}{hint}")
        return value

    def text(self, name: str) -> str:
        value = self.need(name)
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"`{name}` is {_short(value)}, not a text")
        return value

    def number(self, name: str) -> float:
        value = self.need(name)
        try:
            if isinstance(value, bool):
                raise ValueError
            return float(value)
        except (TypeError, ValueError):
            raise ValueError(f"`{name}` is {_short(value)}, not a number") from None

    def truth(self, name: str) -> bool:
        """True or false, also as a table's words for them and as 1 or 0."""
        value = self.need(name)
        word = str(value).strip().lower()
        if word not in _TRUTHS:
            raise ValueError(f"`{name}` is {_short(value)}, neither true nor false")
        return _TRUTHS[word]

    def messages(self, *, last: str) -> tuple[Message, ...]:
        value = self.need("messages")
        if isinstance(value, str) and last == "user":
            value = [{"role": "user", "content": self.text("messages")}]
        if not isinstance(value, list) or not value:
            raise ValueError(f"`messages` is {_short(value)}, not a list of turns")
        messages = tuple(Message.model_validate(turn) for turn in value)
        if messages[-1].role != last:
            raise ValueError(f"the last turn is of the {messages[-1].role}, not of the {last}")
        return messages

    @property
    def family(self) -> str:
        """Rows of no family are all of one, which has the name of what was adopted."""
        return self.stage.name if self.find("family") is None else self.text("family")


def _document(of: _Fields) -> DocumentRow:
    text = of.text("text")
    return DocumentRow(id=_text_id(text), text=text, origin=of.stage.name)


def _topic(of: _Fields) -> TopicRow:
    topic = of.text("topic").strip()
    return TopicRow(id=_text_id(topic), topic=topic, origin="hand_made")


def _prompt(of: _Fields) -> PromptRow:
    messages = of.messages(last="user")
    flags = of.find("flags") or []
    if isinstance(flags, str):
        flags = [flags]
    check = None
    if of.source.verifier is not None:
        check = verifiers.prepare(of.source.verifier, of.find("check"), of.record.fields)
    return PromptRow.model_validate(
        {
            "id": messages_id(messages),
            "family": of.family,
            "messages": messages,
            "origin": of.stage.name,
            "flags": tuple(flags),
            "check": check,
        }
    )


def _dialogue(of: _Fields) -> DialogueRow:
    messages = of.messages(last="assistant")
    return DialogueRow(
        id=messages_id(messages),
        prompt_id=messages_id(messages[:-1]),
        family=of.family,
        messages=messages,
        origin="annotator",
    )


def _rating(of: _Fields) -> RatingRow:
    messages, response = of.messages(last="user"), of.text("response")
    attributes = {name: of.number(name) for name in ATTRIBUTES if of.find(name) is not None}
    wrong = [f"{name} {value:g}" for name, value in attributes.items() if not 0 <= value <= 4]
    if wrong:
        raise ValueError(f"attributes go from 0 to 4, not to {', '.join(wrong)}")
    if not attributes:
        raise ValueError(f"there is no attribute: {', '.join(ATTRIBUTES)}")
    prompt = messages_id(messages)
    return RatingRow(
        id=f"{prompt}-{_text_id(response)}",
        prompt_id=prompt,
        family=of.family,
        messages=messages,
        response=response,
        attributes=attributes,
    )


def _preference(of: _Fields) -> PreferenceRow:
    rewards = (of.number(name) if name in of.source.fields else 0.0 for name in REWARDS)
    return _pair(of.messages(last="user"), of.family, of.text("chosen"), of.text("rejected"), *rewards)


class Partners:
    """Pairs of answers that were labelled one by one: the first good and the first bad one to the same messages that
    have no partner yet. What waits is in memory."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, bool], deque[str]] = {}
        self.empty = 0
        """Answers of no words, which nobody can compare."""

    @property
    def alone(self) -> int:
        """Answers that have found no partner."""
        return sum(map(len, self._waiting.values()))

    def pair(self, of: "_Fields") -> PreferenceRow | None:
        """The pair that this answer completes; None if it has to wait."""
        messages, good = of.messages(last="user"), of.truth("good")
        if not str(of.need("response")).strip():
            self.empty += 1
            return None
        said = of.text("response")
        prompt = messages_id(messages)
        others = self._waiting.get((prompt, not good))
        if not others:
            self._waiting.setdefault((prompt, good), deque()).append(said)
            return None
        other = others.popleft()
        return _pair(messages, of.family, *((said, other) if good else (other, said)), 0.0, 0.0)


def is_labelled(source: Rows) -> bool:
    """Whether its rows are answers with a label of their own."""
    return all(name in source.fields for name in LABELLED)


def _pair(
    messages: tuple[Message, ...],
    family: str,
    chosen: str,
    rejected: str,
    chosen_reward: float,
    rejected_reward: float,
) -> PreferenceRow:
    """Answers are words alone: who trains on them has the tokenizer."""
    if chosen == rejected:
        raise ValueError("chosen and rejected are equal")
    prompt = messages_id(messages)
    return PreferenceRow(
        id=f"{prompt}-{_text_id(chosen)}-{_text_id(rejected)}",
        prompt_id=prompt,
        family=family,
        messages=messages,
        chosen=chosen,
        rejected=rejected,
        chosen_ids=None,
        rejected_ids=None,
        chosen_reward=chosen_reward,
        rejected_reward=rejected_reward,
    )


_MAKERS: Mapping[str, Callable[[_Fields], Record]] = {
    "documents": _document,
    "topics": _topic,
    "prompts": _prompt,
    "dialogues": _dialogue,
    "ratings": _rating,
    "preferences": _preference,
}


def _text_id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _words(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}"
    return str(error)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

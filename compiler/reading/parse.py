"""YAML text to a tree with places. Safe: no tags, no duplicate keys, no merge keys, bounded aliases and nesting."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import yaml

from compiler.reading.problems import Problems
from compiler.reading.scalars import read_scalar
from compiler.reading.tree import Entry, Listing, Node, Place, Scalar, Table, Value

# libyaml is some ten times faster; the pure parser stands in where PyYAML was built without it.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

DEEPEST = 60
"""Levels of nesting that are read."""
_MOST_ALIASED = 500_000
"""Values that aliases may add: enough for any spec, too few for a bomb."""


def parse(text: str, file: str, problems: Problems) -> Node | None:
    """The tree of a text, or nothing if it cannot be read at all; `file` is what its places call it."""
    builder = _Builder(file, problems)
    try:
        builder.take_all(iter(LOADER(text).get_event, None))
    except yaml.reader.ReaderError as error:
        problems.add(_place_of_character(text, error.position, file), "", _bad_character(error), "not-yaml")
        return None
    except yaml.YAMLError as error:
        _note_syntax_error(error, text, file, problems)
        return None
    except _TooMuchError:
        return None
    return builder.root


class _TooMuchError(Exception):
    """The text asks for more than is read; the problem has been noted."""


class _Open:
    """A sequence or mapping whose end has not come."""

    __slots__ = ("anchor", "at", "entries", "is_table", "items", "key", "size")

    def __init__(self, is_table: bool, at: Place, anchor: str | None) -> None:
        self.is_table = is_table
        self.at = at
        self.anchor = anchor
        self.items: list[Node] = []
        self.entries: dict[str, Entry] = {}
        self.key: tuple[str, Place] | None = None
        self.size = 1


class _Anchored(NamedTuple):
    node: Node
    size: int


class _Builder:
    """Builds the tree from parser events with a stack of its own, so that no input can exhaust Python's."""

    def __init__(self, file: str, problems: Problems) -> None:
        self.root: Node | None = None
        self._file = file
        self._problems = problems
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Anchored | None] = {}
        self._aliased = 0
        self._documents = 0
        self._takers: Mapping[type, Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._open,
            yaml.SequenceStartEvent: self._open,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }

    def take_all(self, events: Iterator[Any]) -> None:
        """Adds what the parser's events say."""
        takers, noted = self._takers, self._problems.found
        for event in events:
            if noted and self._problems.full:
                raise _TooMuchError
            take = takers.get(type(event))
            if take is not None:
                take(event)

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents == 2:
            message = "a second document begins here"
            self._problems.add(self._at(event), "", message, "not-yaml", hint="a file is one document")
            raise _TooMuchError

    def _at(self, event: Any) -> Place:
        mark = event.start_mark
        return (self._file, mark.line + 1, mark.column + 1)

    def _scalar(self, event: Any) -> None:
        # Most of what a text holds comes through here: no call that can be spared.
        mark, text = event.start_mark, event.value
        at = (self._file, mark.line + 1, mark.column + 1)
        if event.tag is not None:
            self._refuse_tag(event, at)
        top = self._stack[-1] if self._stack else None
        if top is not None and top.is_table and top.key is None:
            self._key(top, text, at, plain=event.implicit[0])
            return
        node = Scalar(self._value(text, at) if event.implicit[0] else text, text, at)
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            self._problems.blame(node, "", "holds half of a surrogate pair, which is no character", "not-yaml")
            node = Scalar("", "", at)
        self._place(node, 1, event.anchor)

    def _value(self, text: str, at: Place) -> Value:
        try:
            return read_scalar(text)
        except ValueError as error:
            self._problems.add(at, "", str(error), "out-of-range")
            return 0

    def _refuse_tag(self, event: Any, at: Place) -> None:
        hint = "quote a value to make it a string" if event.tag.endswith(":str") else "write the plain value"
        self._problems.add(at, "", f"the tag {_short_tag(event.tag)} is not read", "tag", hint=hint)

    def _expects_key(self) -> bool:
        return bool(self._stack) and self._stack[-1].is_table and self._stack[-1].key is None

    def _key(self, top: _Open, text: str, at: Place, *, plain: bool) -> None:
        if plain and text == "<<":
            hint = "a model may say `extends: other`; other pieces are given names and referred to"
            self._problems.add(at, "", "merge keys are not read", "merge-key", hint=hint)
        elif text in top.entries:
            first = ((top.entries[text].at, "first written here"),)
            self._problems.add(at, "", f"duplicate key {text!r}", "duplicate-key", related=first)
        # The same few keys stand in every stage.
        top.key = (sys.intern(text), at)

    def _open(self, event: Any) -> None:
        at = self._at(event)
        if event.tag is not None:
            self._refuse_tag(event, at)
        if self._expects_key():
            self._problems.add(at, "", "a key must be a single word", "bad-key", hint=_KEY_HINT)
            raise _TooMuchError
        if len(self._stack) >= DEEPEST:
            self._problems.add(at, "", f"nested deeper than {DEEPEST} levels", "too-large")
            raise _TooMuchError
        if event.anchor:
            self._anchors[event.anchor] = None
        self._stack.append(_Open(isinstance(event, yaml.MappingStartEvent), at, event.anchor))

    def _close(self, _: Any) -> None:
        done = self._stack.pop()
        node: Node = Table(done.entries, done.at) if done.is_table else Listing(tuple(done.items), done.at)
        self._place(node, done.size, done.anchor)

    def _alias(self, event: Any) -> None:
        at, name = self._at(event), event.anchor
        if self._expects_key():
            self._problems.add(at, "", "a key must be a single word", "bad-key")
            raise _TooMuchError
        if name not in self._anchors:
            self._problems.add(
                at, "", f"unknown anchor *{name}", "unknown-anchor", hint=f"write &{name} where the value stands first"
            )
            self._place(Scalar(None, "", at), 1, None)
            return
        target = self._anchors[name]
        if target is None:
            self._problems.add(at, "", f"*{name} contains itself", "cycle")
            raise _TooMuchError
        self._aliased += target.size
        if self._aliased > _MOST_ALIASED:
            self._problems.add(at, "", f"aliases add more than {_MOST_ALIASED:,} values", "too-large")
            raise _TooMuchError
        self._place(target.node, target.size, None)

    def _place(self, node: Node, size: int, anchor: str | None) -> None:
        if anchor:
            self._anchors[anchor] = _Anchored(node, size)
        if not self._stack:
            self.root = node
            return
        top = self._stack[-1]
        top.size += size
        if not top.is_table:
            top.items.append(node)
            return
        assert top.key is not None
        key, at = top.key
        top.key = None
        top.entries.setdefault(key, Entry(at, node))


_KEY_HINT = 'write `key: value`; a variable inside { } needs quotes: "${policy}"'


def _short_tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def _bad_character(error: yaml.reader.ReaderError) -> str:
    code = error.character if isinstance(error.character, int) else ord(error.character[:1] or "\0")
    return f"the character U+{code:04X} must not stand in YAML"


def _place_of_character(text: str, position: int, file: str) -> Place:
    before = text[:position]
    return (file, before.count("\n") + 1, position - before.rfind("\n"))


def _note_syntax_error(error: yaml.YAMLError, text: str, file: str, problems: Problems) -> None:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    words = [word for word in (getattr(error, "context", None), getattr(error, "problem", None)) if word]
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.splitlines() or [""]
    related: tuple[tuple[Place, str], ...] = ()
    start = getattr(error, "context_mark", None)
    if start and mark and (start.line, start.column) != (line, column):
        related = (((file, start.line + 1, start.column + 1), "begins here"),)
    if line >= len(lines):
        line, column = len(lines) - 1, len(lines[-1])
    message = "is not YAML: " + " ".join(words or [str(error)])
    hint = _syntax_hint(message, lines[line])
    problems.add((file, line + 1, column + 1), "", message, "not-yaml", hint=hint, related=related)


_BARE_VARIABLE = re.compile(r"(?<![\"'\w])\$\{")


def _syntax_hint(message: str, line: str) -> str:
    variable = _BARE_VARIABLE.search(line)
    if variable and any(bracket in line[: variable.start()] for bracket in "{["):
        return 'inside { } and [ ] a variable needs quotes: "${policy}"'
    if "\t" in line:
        return "indent with spaces: YAML does not take tabs"
    if "mapping values are not allowed" in message:
        return "check the indentation; a value that contains ': ' needs quotes"
    if "cannot start any token" in message:
        return "a value that begins with @ ` % or another special character needs quotes"
    if "flow" in message:
        return "a { or [ is not closed, or a comma is missing"
    if "expected key" in message or "block" in message:
        return "check the indentation: keys of one mapping begin in one column"
    return ""

"""`--set path=value`: a tree with some values replaced, checked afterwards like the file."""

from collections.abc import Sequence
from typing import NamedTuple

from compiler.errors import did_you_mean
from compiler.reading.parse import parse
from compiler.reading.problems import Problems
from compiler.reading.scalars import read_scalar
from compiler.reading.tree import Entry, Listing, Node, Place, Scalar, Table

FILE = "--set"
"""What spans call the command line; the line is the number of the override, counted from 1."""

_STRUCTURED = ("[", "{", '"', "'")


def apply_overrides(root: Table, overrides: Sequence[str], problems: Problems) -> Table:
    """The tree with each override in its place, the last one winning."""
    for number, text in enumerate(overrides, start=1):
        override = _read(text, number, problems)
        if override is not None:
            root = _apply(root, override, problems)
    return root


class _Override(NamedTuple):
    path: str
    at: Place
    value: Node


def _read(text: str, number: int, problems: Problems) -> _Override | None:
    path, equals, written = text.partition("=")
    at = (FILE, number, 1)
    if not equals or not path.strip():
        problems.add(at, "", f"{text!r} is no override", "bad-override", hint="write --set path=value")
        return None
    start = len(text) - len(written.lstrip()) + 1
    value = _value(written.strip(), (FILE, number, start), problems)
    return None if value is None else _Override(path.strip(), at, value)


def _value(text: str, at: Place, problems: Problems) -> Node | None:
    if text.startswith(_STRUCTURED):
        inner = Problems()
        node = parse(text, FILE, inner)
        if len(inner) or node is None:
            problems.add(
                at, "", f"{text[:60]!r} is not YAML", "not-yaml", hint="quote it for the shell: --set 'path=[1, 2]'"
            )
            return None
        return _moved(node, at)
    try:
        text.encode()
        return Scalar(read_scalar(text), text, at)
    except ValueError as error:
        problems.add(at, "", str(error), "out-of-range")
        return None


def _moved(node: Node, start: Place) -> Node:
    """The tree with places counted from where the value begins on the command line."""
    at = _moved_place(node.at, start)
    if isinstance(node, Scalar):
        return node._replace(at=at)
    if isinstance(node, Listing):
        return Listing(tuple(_moved(item, start) for item in node.items), at)
    entries = {
        key: Entry(_moved_place(entry.at, start), _moved(entry.value, start)) for key, entry in node.entries.items()
    }
    return Table(entries, at)


def _moved_place(at: Place, start: Place) -> Place:
    return (start[0], start[1], start[2] + at[2] - 1) if at[1] == 1 else start


def _apply(root: Table, override: _Override, problems: Problems) -> Table:
    try:
        changed = _replaced(root, override.path.split("."), (), override)
    except _NoSuchPathError as missing:
        problems.add(override.at, "", str(missing), "unknown-path", hint=missing.hint)
        return root
    assert isinstance(changed, Table)
    return changed


class _NoSuchPathError(Exception):
    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def _replaced(node: Node, parts: Sequence[str], done: tuple[str, ...], override: _Override) -> Node:
    if not parts:
        return override.value
    if isinstance(node, Listing):
        return _replaced_in_list(node, parts, done, override)
    if not isinstance(node, Table):
        raise _NoSuchPathError(
            f"{'.'.join(done)} has no parts, so {override.path!r} is no path", _hint_of_scalar(node, done, parts)
        )
    for end in range(len(parts), 0, -1):
        key = ".".join(parts[:end])
        if key in node.entries:
            entry = node.entries[key]
            value = _replaced(entry.value, parts[end:], (*done, key), override)
            return node._replace(entries={**node.entries, key: entry._replace(value=value)})
    if not _may_be_new(done, parts[0]):
        raise _NoSuchPathError(f"unknown path {override.path!r}", _hint_of_keys(node, parts, done))
    key = ".".join(parts) if done == () else parts[0]
    return node._replace(entries={**node.entries, **_new_entry(parts, done, override)})


def _may_be_new(done: tuple[str, ...], key: str) -> bool:
    """Optional fields of a named thing may be added (validate knows them); the thing itself must have been written."""
    return len(done) >= 2 or (done == () and key in ("matrix", "budget")) or done == ("matrix",)


def _new_entry(parts: Sequence[str], done: tuple[str, ...], override: _Override) -> dict[str, Entry]:
    if done == ("matrix",):
        return {".".join(parts): Entry(override.at, override.value)}
    if len(parts) == 1:
        return {parts[0]: Entry(override.at, override.value)}
    below = Table(_new_entry(parts[1:], (*done, parts[0]), override), override.at)
    return {parts[0]: Entry(override.at, below)}


def _replaced_in_list(node: Listing, parts: Sequence[str], done: tuple[str, ...], override: _Override) -> Node:
    name = ".".join(done)
    if not parts[0].isdecimal() or len(parts[0]) > 9 or int(parts[0]) >= len(node.items):
        last = len(node.items) - 1
        hint = f"write {name}.0" + (f" to {name}.{last}" if last > 0 else "") if node.items else ""
        raise _NoSuchPathError(f"unknown path {override.path!r}: {name} is a list of {len(node.items)}", hint)
    index = int(parts[0])
    value = _replaced(node.items[index], parts[1:], (*done, parts[0]), override)
    return node._replace(items=(*node.items[:index], value, *node.items[index + 1 :]))


def _hint_of_scalar(node: Node, done: tuple[str, ...], parts: Sequence[str]) -> str:
    if isinstance(node, Scalar) and isinstance(node.value, str) and len(done) > 1:
        return f"it is the name {node.value!r}: set the parts of what has that name, or {'.'.join(done)} as a whole"
    return ""


def _hint_of_keys(node: Table, parts: Sequence[str], done: tuple[str, ...]) -> str:
    prefix = "".join(f"{part}." for part in done)
    return did_you_mean(prefix + parts[0], [prefix + key for key in node.entries])

"""A spec as a tree of values, each with the place where it was written.

Trees are never changed: substitution, `extends`, naming and unrolling give new trees whose values keep their places.
The three kinds of node are tuples, not pydantic records, because a spec has hundreds of thousands of them.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from compiler.errors import Span

Place: TypeAlias = tuple[str, int, int]
"""File, line, column: a Span that is made only when somebody asks."""

Value: TypeAlias = bool | int | float | str | None


class Scalar(NamedTuple):
    """One word, number, truth value or nothing."""

    value: Value
    text: str
    """As it was written: labels and messages show `1e-4`, not 0.0001."""
    at: Place
    used: Place | None = None
    """Where it was asked for by name (`${params.x}`, a named piece), if it was written elsewhere."""


class Listing(NamedTuple):
    """A YAML sequence."""

    items: "tuple[Node, ...]"
    at: Place
    used: Place | None = None


class Entry(NamedTuple):
    """A key's place and its value."""

    at: Place
    value: "Node"


class Table(NamedTuple):
    """A YAML mapping; keys are the text that was written."""

    entries: Mapping[str, Entry]
    at: Place
    used: Place | None = None


Node: TypeAlias = Scalar | Listing | Table


def span(place: Place) -> Span:
    """The place as others know it."""
    return Span(*place)


def plain(node: Node) -> Any:
    """The tree as dicts, tuples and scalars."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Listing):
        return tuple(plain(item) for item in node.items)
    return {key: value.value if isinstance(value, Scalar) else plain(value) for key, (_, value) in node.entries.items()}


def text_node(text: str, like: Scalar) -> Scalar:
    """A string in place of another scalar."""
    return Scalar(text, text, like.at, like.used)


def without(table: Table, *keys: str) -> Table:
    """The mapping less some keys."""
    return table._replace(entries={key: entry for key, entry in table.entries.items() if key not in keys})


def child(table: Table, key: str) -> Node | None:
    """The value of a key, if it is there."""
    entry = table.entries.get(key)
    return entry.value if entry else None


def kind_word(table: Table) -> str:
    """What the mapping says its `kind` is; empty if it does not."""
    entry = table.entries.get("kind")
    return str(entry.value.value) if entry and isinstance(entry.value, Scalar) else ""


def describe(node: Node) -> str:
    """The value in a sentence: `'abc'`, `1e-4`, `empty`, `a list`, `a mapping`."""
    if isinstance(node, Listing):
        return "a list"
    if isinstance(node, Table):
        return "a mapping"
    if node.value is None:
        return "empty"
    shown = repr(node.value) if isinstance(node.value, str) else node.text
    return shown if len(shown) <= 60 else shown[:57] + "..."


class FieldSpans(Mapping[str, Span]):
    """The place of every field of a tree by its path, as `loss.beta` or `phases.0.blend.web`; made on demand."""

    def __init__(self, root: Table) -> None:
        self._root = root

    def __getitem__(self, path: str) -> Span:
        found = find(self._root, path)
        if found is None:
            raise KeyError(path)
        return span(found.value.at)

    def key(self, path: str) -> Span:
        """The place of the field's key."""
        found = find(self._root, path)
        if found is None:
            raise KeyError(path)
        return span(found.at)

    def __iter__(self) -> Iterator[str]:
        return _paths(self._root, "")

    def __len__(self) -> int:
        return sum(1 for _ in self)


def find(node: Node, path: str) -> Entry | None:
    """The entry at a path; a key may itself contain dots."""
    if not path:
        return Entry(node.at, node)
    if isinstance(node, Table):
        return _find_in_table(node, path)
    if isinstance(node, Listing):
        head, _, rest = path.partition(".")
        if head.isdecimal() and int(head) < len(node.items):
            return find(node.items[int(head)], rest)
    return None


def _find_in_table(table: Table, path: str) -> Entry | None:
    parts = path.split(".")
    for end in range(1, len(parts) + 1):
        entry = table.entries.get(".".join(parts[:end]))
        if entry is None:
            continue
        rest = ".".join(parts[end:])
        found = find(entry.value, rest) if rest else entry
        if found is not None:
            return found
    return None


def _paths(node: Node, prefix: str) -> Iterator[str]:
    children: Iterator[tuple[str, Node]] = iter(())
    if isinstance(node, Table):
        children = ((key, entry.value) for key, entry in node.entries.items())
    elif isinstance(node, Listing):
        children = ((str(index), item) for index, item in enumerate(node.items))
    for key, value in children:
        yield prefix + key
        yield from _paths(value, f"{prefix}{key}.")

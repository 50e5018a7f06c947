"""`${...}`: trees with variables put in. A value keeps the place where it was written and knows where it was used."""

import re
from collections.abc import Mapping
from typing import TypeAlias

from compiler.errors import did_you_mean
from compiler.reading.problems import Problems
from compiler.reading.tree import Entry, Listing, Node, Place, Scalar, Table

Values: TypeAlias = Mapping[str, Node]
"""Variable (`params.beta`, `round`, `policy`) -> its value."""

_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_LONGEST_TEXT = 100_000


def substitute(node: Node, values: Values, problems: Problems, path: str) -> Node:
    """The tree with every variable replaced; the same tree where there is none."""
    if not has_variables(node):
        return node
    if isinstance(node, Scalar):
        return _scalar(node, values, problems, path)
    if isinstance(node, Listing):
        items = (substitute(item, values, problems, f"{path}.{index}") for index, item in enumerate(node.items))
        return node._replace(items=tuple(items))
    return _table(node, values, problems, path)


def has_variables(node: Node) -> bool:
    """Whether a variable stands anywhere in the tree."""
    if isinstance(node, Table):
        return any("${" in key or has_variables(value) for key, (_, value) in node.entries.items())
    if isinstance(node, Scalar):
        return isinstance(node.value, str) and "${" in node.value
    return any(has_variables(item) for item in node.items)


def variables_in(node: Node) -> set[str]:
    """The variables that a tree mentions."""
    if isinstance(node, Scalar):
        return set(_VARIABLE.findall(node.value)) if isinstance(node.value, str) and "${" in node.value else set()
    if isinstance(node, Listing):
        return set().union(*(variables_in(item) for item in node.items))
    keys = {name for key in node.entries if "${" in key for name in _VARIABLE.findall(key)}
    return keys.union(*(variables_in(entry.value) for entry in node.entries.values()))


def _table(table: Table, values: Values, problems: Problems, path: str) -> Table:
    entries: dict[str, Entry] = {}
    for key, entry in table.entries.items():
        value = substitute(entry.value, values, problems, f"{path}.{key}")
        name = _interpolated(key, entry.at, values, problems, f"{path}.{key}") if "${" in key else key
        if name in entries:
            first = ((entries[name].at, "first written here"),)
            problems.add(entry.at, path, f"duplicate key {name!r}", "duplicate-key", related=first)
        entries[name] = entry if value is entry.value else Entry(entry.at, value)
    return table._replace(entries=entries)


def _scalar(node: Scalar, values: Values, problems: Problems, path: str) -> Node:
    if not isinstance(node.value, str) or "${" not in node.value:
        return node
    whole = _VARIABLE.fullmatch(node.value.strip())
    if whole is None:
        text = _interpolated(node.value, node.at, values, problems, path)
        return node._replace(value=text, text=text)
    value = values.get(whole[1])
    if value is None:
        _unknown(whole[1], node.at, values, problems, path)
        return node
    return value._replace(used=node.at)


def _interpolated(text: str, at: Place, values: Values, problems: Problems, path: str) -> str:
    def word(match: re.Match[str]) -> str:
        value = values.get(match[1])
        if value is None:
            _unknown(match[1], at, values, problems, path)
            return match[0]
        if not isinstance(value, Scalar):
            problems.add(at, path, f"${{{match[1]}}} is a list and cannot stand inside a text", "wrong-type")
            return match[0]
        return value.text

    result = _VARIABLE.sub(word, text)
    if "${" in _VARIABLE.sub("", text):
        problems.blame(
            Scalar(text, text, at),
            path,
            f"{text!r} has a ${{ without its }}",
            "bad-variable",
            hint="write ${params.name}",
        )
    if len(result) > _LONGEST_TEXT:
        problems.blame(Scalar(text, text, at), path, "is too long a text", "too-large")
        return text
    return result


def _unknown(name: str, at: Place, values: Values, problems: Problems, path: str) -> None:
    if f"params.{name}" in values:
        hint = f"write ${{params.{name}}}"
    elif name == "round":
        hint = "${round} is known inside a loop only"
    else:
        hint = did_you_mean(name, values) or "params are declared under `params` and written ${params.name}"
    problems.blame(Scalar(name, name, at), path, f"unknown variable ${{{name}}}", "unknown-variable", hint=hint)

"""pydantic's errors as sentences about the file: the exact place, what is wrong, what to write instead."""

from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from compiler.codes import Code
from compiler.errors import did_you_mean, nearest
from compiler.manifest import Placement
from compiler.reading.fields import accepts, hint_below, hints_of, kinds_of, pieces_of, record_type_at
from compiler.reading.problems import Problems, used_here
from compiler.reading.scalars import read_scalar
from compiler.reading.tree import Entry, Listing, Node, Place, Scalar, Table, describe, kind_word
from compiler.schema.base import Record
from compiler.schema.described import descriptions
from compiler.schema.model import Layout


def note_errors(
    error: ValidationError, tree: Node, hint: Any, path: str, problems: Problems, *, more_keys: Sequence[str] = ()
) -> None:
    """Adds what pydantic says of a tree of the type `hint`. `more_keys` may stand there too, though no fields of it."""
    details = error.errors(include_url=False, include_input=False)
    wrong_kinds = {detail["loc"][:-1] for detail in details if _is_wrong_kind(detail["type"], detail["loc"])}
    misspelt = _misspelt(details)
    told = False
    for detail in details:
        # The unknown key that was meant tells it already.
        if detail["type"] == "missing" and detail["loc"] in misspelt:
            continue
        # What a piece of the wrong kind has or lacks besides says nothing.
        if detail["loc"][:-1] in wrong_kinds and detail["loc"][-1] != "kind":
            continue
        spot = _locate(tree, hint, path, detail["loc"], str(detail["type"]))
        if spot is not None:
            told = True
            # To pydantic a list of which every entry is wrong is too short besides.
            if detail["type"] == "too_short" and isinstance(spot.node, Listing) and spot.node.items:
                continue
            _note(spot, str(detail["type"]), detail.get("ctx", {}), str(detail["msg"]), problems, more_keys)
    if not told:
        problems.add(tree.at, path, str(details[0]["msg"]), "wrong-value")


def _misspelt(details: Sequence[ErrorDetails]) -> set[tuple[int | str, ...]]:
    """Keys that are missing where a key stands that is nearly theirs."""
    missing: dict[tuple[int | str, ...], list[str]] = {}
    for detail in details:
        if detail["type"] == "missing":
            missing.setdefault(detail["loc"][:-1], []).append(str(detail["loc"][-1]))
    return {
        (*detail["loc"][:-1], meant)
        for detail in details
        if detail["type"] == "extra_forbidden"
        for meant in nearest(str(detail["loc"][-1]), missing.get(detail["loc"][:-1], ()))
    }


def _is_wrong_kind(error: str, loc: tuple[int | str, ...]) -> bool:
    return error == "literal_error" and loc[-1:] == ("kind",)


class _Spot(NamedTuple):
    node: Node
    """The value, or the mapping that holds (or lacks) the key."""
    hint: Any
    """The type it should have."""
    parent: type[Record] | None
    """The record whose field this is."""
    field: str
    path: str
    key: Entry | None
    """Where the key itself is wrong."""
    missing: str
    used: tuple[tuple[Place, str], ...]


def _locate(tree: Node, hint: Any, path: str, loc: tuple[int | str, ...], error: str) -> _Spot | None:
    """Follows `loc` through the tree, dropping the union tags that pydantic puts in; None where it says nothing new."""
    spot = _Spot(tree, hint, None, "", path, None, "", used_here(tree))
    parts = [str(part) for part in loc]
    while parts:
        part = parts.pop(0)
        if isinstance(spot.node, Table) and len(kinds_of(spot.hint)) > 1 and part == kind_word(spot.node):
            if not parts:
                break
            part = parts.pop(0)
        if not parts and error == "missing":
            return spot._replace(
                parent=record_type_at(spot.hint, spot.node), field=part, path=_join(spot.path, part), missing=part
            )
        entry = _entry(spot.node, part)
        if entry is None:
            if _is_other_branch(part, spot.node):
                return None
            continue
        if (not parts and error == "extra_forbidden") or parts == ["[key]"]:
            return spot._replace(
                parent=record_type_at(spot.hint, spot.node), field=part, path=_join(spot.path, part), key=entry
            )
        spot = _below(spot, part, entry.value)
    return spot


def _below(spot: _Spot, part: str, value: Node) -> _Spot:
    parent = record_type_at(spot.hint, spot.node) if isinstance(spot.node, Table) else None
    hint = hint_below(spot.hint, spot.node, part)
    return _Spot(value, hint, parent, part, _join(spot.path, part), None, "", spot.used + used_here(value))


def _entry(node: Node, part: str) -> Entry | None:
    if isinstance(node, Table):
        return node.entries.get(part)
    if isinstance(node, Listing) and part.isdecimal() and int(part) < len(node.items):
        return Entry(node.at, node.items[int(part)])
    return None


def _join(path: str, part: str) -> str:
    return f"{path}.{part}" if path else part


def _is_other_branch(tag: str, node: Node) -> bool:
    """Whether the error comes from a member of a union that the value was not meant to be."""
    return (tag == "str" and isinstance(node, Listing)) or (tag.startswith("tuple[") and not isinstance(node, Listing))


def _note(spot: _Spot, error: str, ctx: dict[str, Any], msg: str, problems: Problems, more_keys: Sequence[str]) -> None:
    if problems.is_blamed(spot.node) and not isinstance(spot.node, Table):
        return
    if error == "missing" and _extends_nothing(spot.node, problems):
        return
    if error == "missing":
        hint = _description(spot.parent, spot.missing)
        problems.add(spot.node.at, spot.path, "is missing", "missing-key", hint=hint, related=spot.used)
    elif error == "extra_forbidden":
        assert spot.key is not None
        if problems.is_blamed(spot.key.value):
            return
        hint = _unknown_key_hint(spot, more_keys)
        problems.add(spot.key.at, spot.path, "unknown key", "unknown-key", hint=hint, related=spot.used)
    elif spot.key is not None:
        choices = [str(choice) for choice in ctx.get("expected", "").replace("'", "").replace(" or ", ", ").split(", ")]
        message = f"{spot.field!r} is not known here"
        problems.add(
            spot.key.at, spot.path, message, "wrong-choice", hint=did_you_mean(spot.field, choices), related=spot.used
        )
    elif error in ("union_tag_invalid", "union_tag_not_found"):
        _note_kind(spot, error, problems)
    elif error == "value_error":
        message = str(ctx.get("error", msg))
        problems.add(spot.node.at, spot.path, message, "wrong-value", related=spot.used)
    else:
        _note_value(spot, error, ctx, msg, problems)


def _extends_nothing(node: Node, problems: Problems) -> bool:
    """Whether keys are missing only because the model that was to give them is unknown."""
    entry = node.entries.get("extends") if isinstance(node, Table) else None
    return entry is not None and problems.is_blamed(entry.value)


def _note_kind(spot: _Spot, error: str, problems: Problems) -> None:
    kinds = list(kinds_of(spot.hint))
    entry = spot.node.entries.get("kind") if isinstance(spot.node, Table) else None
    if error == "union_tag_not_found" or entry is None:
        hint = f"choose from {', '.join(kinds)}"
        problems.add(spot.node.at, f"{spot.path}.kind", "is missing", "missing-key", hint=hint, related=spot.used)
        return
    message = f"unknown kind {describe(entry.value)}"
    word = str(entry.value.value) if isinstance(entry.value, Scalar) else ""
    problems.blame(
        entry.value, f"{spot.path}.kind", message, "unknown-kind", hint=did_you_mean(word, kinds), related=spot.used
    )


def _note_value(spot: _Spot, error: str, ctx: dict[str, Any], msg: str, problems: Problems) -> None:
    wanted, code = _wanted(spot, error, ctx, msg)
    hint = ""
    if code == "wrong-choice":
        word = str(spot.node.value) if isinstance(spot.node, Scalar) else ""
        choices = [str(choice) for choice in _choices(spot.hint)]
        hint = did_you_mean(word, choices) if len(choices) > 1 else ""
    elif code == "wrong-type":
        hint = _type_hint(spot, error)
    if spot.field == "kind" and code == "wrong-choice" and spot.used:
        _note_wrong_piece(spot, wanted, problems)
        return
    shown = "empty" if code == "too-few" else describe(spot.node)
    message = f"is {shown}, but must {wanted}" if code == "too-few" else f"is {shown}, but must be {wanted}"
    problems.blame(spot.node, spot.path, message, code, hint=hint, related=spot.used)


def _note_wrong_piece(spot: _Spot, wanted: str, problems: Problems) -> None:
    """A named piece that is right where it stands, but of a kind that the field does not take."""
    at = spot.used[-1][0]
    message = f"is of kind {describe(spot.node)}, but must be of kind {wanted!r}"
    path = spot.path.removesuffix(".kind")
    problems.add(at, path, message, "wrong-choice", related=((spot.node.at, "its kind"),))


_TYPES = {
    "int_type": "a whole number", "int_from_float": "a whole number", "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "float_type": "a number", "float_parsing": "a number", "finite_number": "a finite number",
    "bool_type": "true or false", "bool_parsing": "true or false", "string_type": "text",
    "tuple_type": "a list", "list_type": "a list", "dict_type": "a mapping",
    "model_type": "a mapping", "model_attributes_type": "a mapping",
}  # fmt: skip

_RANGES = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


def _wanted(spot: _Spot, error: str, ctx: dict[str, Any], msg: str) -> tuple[str, Code]:
    """What the value must be, and the code of the problem."""
    if error == "literal_error":
        choices = [str(choice) for choice in _choices(spot.hint)]
        return (choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}", "wrong-choice")
    if error in _RANGES:
        words, bound = _RANGES[error]
        limit = ctx[bound]
        return f"{words} {int(limit) if limit == int(limit) else limit}", "out-of-range"
    if error == "too_short":
        return "have at least one entry", "too-few"
    if error not in _TYPES:
        return f"right: {msg}", "wrong-value"
    section = pieces_of(spot.parent).get(spot.field) if spot.parent else None
    if section and _TYPES[error] == "a mapping":
        return f"a name from `{section}` or a mapping", "wrong-type"
    if accepts(spot.hint):
        return "the name of a stage", "wrong-type"
    return _TYPES[error], "wrong-type"


def _choices(hint: Any) -> tuple[Any, ...]:
    from compiler.reading.fields import members

    return tuple(choice for member in members(hint) for choice in get_args(member) if isinstance(choice, str | int))


def _type_hint(spot: _Spot, error: str) -> str:
    node = spot.node
    if not isinstance(node, Scalar):
        return ""
    if error in ("tuple_type", "list_type") and node.value is not None:
        return f"write [{node.text}]"
    if error.startswith(("int", "float")) and isinstance(node.value, str) and _is_number(node.value):
        return f"write {node.value} without quotes"
    if error.startswith("int") and isinstance(node.value, str):
        return "whole numbers may be written 4096, 4k, 1.5M, 340B or 8T"
    if (
        error.startswith("int")
        and isinstance(node.value, float)
        and node.value == node.value // 1
        and abs(node.value) < 1e18
    ):
        return f"write {int(node.value)}"
    if error == "string_type" and node.value is not None and not accepts(spot.hint):
        return f'write "{node.text}" in quotes'
    if error == "bool_type" and node.value in ("yes", "no", "on", "off"):
        return f"write {'true' if node.value in ('yes', 'on') else 'false'}"
    return ""


def _is_number(text: str) -> bool:
    try:
        return isinstance(read_scalar(text), int | float) and text[:1] not in ("t", "T", "f", "F")
    except ValueError:
        return False


def _description(record_type: type[Record] | None, field: str) -> str:
    text = descriptions(record_type).get(field, "") if record_type else ""
    return text.rstrip(".,")


def _unknown_key_hint(spot: _Spot, more_keys: Sequence[str]) -> str:
    known = list(hints_of(spot.parent)) if spot.parent else []
    if "placement" in more_keys and spot.field in (*Placement.model_fields, *Layout.model_fields):
        return "it belongs under `placement`"
    others = [kind for kind, record_type in kinds_of(spot.hint).items() if spot.field in record_type.model_fields]
    if others and spot.parent:
        own = kind_word(spot.node) if isinstance(spot.node, Table) else ""
        return f"it is a key of {', '.join(others)}; {own} takes {', '.join(known)}"
    return did_you_mean(spot.field, [*known, *more_keys])

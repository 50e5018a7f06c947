"""Refs inside stage records: found by their types (`Accepts`), wherever they stand, and replaced."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from compiler.schema.base import Accepts, Record


@dataclass(frozen=True)
class RefUse:
    """One mention of another stage's output."""

    path: str
    """Of the field in the record, as `loss.beta` or `data.web` (the key itself, where a dict is keyed by refs)."""
    label: str
    accepts: str
    """The artifact kind that the field takes."""


def find_refs(record: Record) -> Iterator[RefUse]:
    """Every ref in the record, in the order of its fields."""
    found: list[RefUse] = []

    def note(use: RefUse) -> str:
        found.append(use)
        return use.label

    _walk_record(record, "", note)
    yield from found


def replace_refs(record: Record, replacement: Callable[[str], str]) -> dict[str, Any]:
    """The record as plain JSON values with each ref replaced.

    A dict keyed by refs becomes a sorted list of [replacement, value] pairs: its order never meant anything, and two
    labels may be the same artifact.
    """
    return _walk_record(record, "", lambda use: replacement(use.label))


_Visit = Callable[[RefUse], str]


def _walk_record(record: Record, path: str, visit: _Visit) -> dict[str, Any]:
    plain: dict[str, Any] = record.model_dump(mode="json")
    for name, hint in _fields_with_refs(type(record)):
        if name not in plain:
            continue  # one that came later, and is not said
        plain[name] = _walk(getattr(record, name), hint, f"{path}.{name}" if path else name, visit)
    return plain


def _walk(value: Any, hint: Any, path: str, visit: _Visit) -> Any:
    if isinstance(value, Record):
        return _walk_record(value, path, visit)
    if isinstance(value, str):
        accepts = _accepts(hint, str)
        return visit(RefUse(path, value, accepts)) if accepts else value
    if isinstance(value, tuple):
        item = _accepts_items(hint)
        return [_walk(part, item, f"{path}.{index}", visit) for index, part in enumerate(value)]
    if isinstance(value, dict):
        key_hint, value_hint = _dict_hints(hint)
        accepts = _accepts(key_hint, str)
        if accepts:
            return sorted([visit(RefUse(f"{path}.{key}", key, accepts)), part] for key, part in value.items())
        return {key: _walk(part, value_hint, f"{path}.{key}", visit) for key, part in value.items()}
    return value


@cache
def _fields_with_refs(record_type: type[Record]) -> tuple[tuple[str, Any], ...]:
    hints = get_type_hints(record_type, include_extras=True)
    return tuple((name, hints[name]) for name in record_type.model_fields if _mentions_refs(hints[name]))


def _mentions_refs(hint: Any) -> bool:
    """Whether a value of this type can hold a ref, directly or inside a record, tuple or dict."""
    if isinstance(hint, type) and issubclass(hint, Record):
        return bool(_fields_with_refs(hint))
    if get_origin(hint) is Annotated and any(isinstance(part, Accepts) for part in get_args(hint)[1:]):
        return True
    return any(_mentions_refs(part) for part in get_args(hint))


def _members(hint: Any) -> Iterator[Any]:
    """The members of a union, through any annotations; a plain type is its own only member."""
    origin = get_origin(hint)
    if origin is Annotated and not any(isinstance(part, Accepts) for part in get_args(hint)[1:]):
        yield from _members(get_args(hint)[0])
    elif origin is None or origin is Annotated or origin in (tuple, dict):
        yield hint
    else:
        for part in get_args(hint):
            yield from _members(part)


@cache
def _accepts(hint: Any, base: type) -> str:
    for member in _members(hint):
        if get_origin(member) is Annotated and get_args(member)[0] is base:
            for part in get_args(member)[1:]:
                if isinstance(part, Accepts):
                    return ",".join(part.artifacts)
    return ""


@cache
def _accepts_items(hint: Any) -> Any:
    return next(get_args(member)[0] for member in _members(hint) if get_origin(member) is tuple)


@cache
def _dict_hints(hint: Any) -> tuple[Any, Any]:
    key, value = next(get_args(member) for member in _members(hint) if get_origin(member) is dict)
    return key, value

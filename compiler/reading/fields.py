"""What record types say of their fields: which take named pieces, which hold refs, which record stands at a place."""

import operator
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, NamedTuple, TypeAlias, get_args, get_origin, get_type_hints

from compiler.reading.tree import Entry, Listing, Node, Place, Scalar, Table, kind_word, text_node
from compiler.schema.base import Accepts, Piece, Record


class Mention(NamedTuple):
    """A ref as it stands in a stage."""

    path: str
    """Of the field in the stage, as `data.web`; where a mapping is keyed by refs, the key is the last part."""
    written: str
    at: Place
    used: Place | None
    accepts: tuple[str, ...]
    """The artifact kinds that the field takes."""


Rename: TypeAlias = Callable[[Mention], str]


@cache
def hints_of(record_type: type[Record]) -> Mapping[str, Any]:
    """Field -> its whole annotation."""
    hints = get_type_hints(record_type, include_extras=True)
    return {name: hints[name] for name in record_type.model_fields}


@cache
def pieces_of(record_type: type[Record]) -> Mapping[str, str]:
    """Field -> the section whose names it takes."""
    found = {}
    for name, hint in hints_of(record_type).items():
        sections = [piece.section for piece in _metadata(hint) if isinstance(piece, Piece)]
        if sections:
            found[name] = sections[0]
    return found


def record_types(hint: Any) -> tuple[type[Record], ...]:
    """The records that a value of this type may be."""
    return tuple(member for member in members(hint) if isinstance(member, type) and issubclass(member, Record))


def kinds_of(hint: Any) -> Mapping[str, type[Record]]:
    """Kind -> record, for a union told apart by `kind`."""
    found = {}
    for record_type in record_types(hint):
        for kind in get_args(hints_of(record_type).get("kind")):
            found[str(kind)] = record_type
    return found


def record_type_at(hint: Any, node: Node) -> type[Record] | None:
    """The record that a mapping is meant to be; nothing if that is open."""
    types = record_types(hint)
    if len(types) <= 1:
        return types[0] if types else None
    return kinds_of(hint).get(kind_word(node)) if isinstance(node, Table) else None


def hint_below(hint: Any, node: Node, part: str) -> Any:
    """The annotation of a field, entry or item; None where the type has no such part."""
    if isinstance(node, Listing):
        return next((get_args(member)[0] for member in members(hint) if get_origin(member) is tuple), None)
    record_type = record_type_at(hint, node)
    if record_type is not None:
        return hints_of(record_type).get(part)
    return next((get_args(member)[1] for member in members(hint) if get_origin(member) is dict), None)


def accepts(hint: Any) -> tuple[str, ...]:
    """The artifact kinds, where the type is a ref; empty if not."""
    for member in members(hint):
        for part in _own_metadata(member):
            if isinstance(part, Accepts):
                return part.artifacts
    return ()


def rename_refs(record_type: type[Record], table: Table, rename: Rename) -> Table:
    """The record's tree with each ref replaced by what `rename` says of it, in the order of its fields."""
    return _rename_fields(_renamers(record_type), table, "", rename)


def members(hint: Any) -> Iterator[Any]:
    """The members of a union, through annotations; a ref keeps its own annotation, a plain type is its only member."""
    origin = get_origin(hint)
    if origin is Annotated:
        if any(isinstance(part, Accepts) for part in get_args(hint)[1:]):
            yield hint
        else:
            yield from members(get_args(hint)[0])
    elif origin is None or origin in (tuple, dict) or not _is_union(hint):
        yield hint
    else:
        for part in get_args(hint):
            yield from members(part)


def _is_union(hint: Any) -> bool:
    from types import UnionType
    from typing import Union

    return get_origin(hint) in (UnionType, Union)


def _own_metadata(hint: Any) -> tuple[Any, ...]:
    return get_args(hint)[1:] if get_origin(hint) is Annotated else ()


def _metadata(hint: Any) -> Iterator[Any]:
    """Annotations of the type and of the members of its union."""
    if get_origin(hint) is Annotated:
        yield from get_args(hint)[1:]
        yield from _metadata(get_args(hint)[0])
    elif _is_union(hint):
        for part in get_args(hint):
            yield from _metadata(part)


_Renamer: TypeAlias = Callable[[Node, str, Rename], Node]


@cache
def _renamers(record_type: type[Record]) -> tuple[tuple[str, _Renamer], ...]:
    found = ((name, _renamer(hint)) for name, hint in hints_of(record_type).items())
    return tuple((name, renamer) for name, renamer in found if renamer is not None)


def _renamer(hint: Any) -> _Renamer | None:
    """What renames the refs inside a value of this type; None where it cannot hold any."""
    scalar = accepts(hint)
    items = _first(_renamer(get_args(member)[0]) for member in members(hint) if get_origin(member) is tuple)
    keys = _first(accepts(get_args(member)[0]) for member in members(hint) if get_origin(member) is dict)
    values = _first(_renamer(get_args(member)[1]) for member in members(hint) if get_origin(member) is dict)
    records = {record_type: _renamers(record_type) for record_type in record_types(hint)}
    kinds = kinds_of(hint) if len(records) > 1 else {}
    only = next(iter(records)) if len(records) == 1 else None
    if not (scalar or items or keys or values or any(records.values())):
        return None

    def rename_in(node: Node, path: str, rename: Rename) -> Node:
        if isinstance(node, Scalar):
            if not scalar or not isinstance(node.value, str):
                return node
            label = rename(Mention(path, node.value, node.at, node.used, scalar))
            return node if label == node.value else text_node(label, node)
        if isinstance(node, Listing):
            if items is None:
                return node
            renamed = tuple(items(item, f"{path}.{i}", rename) for i, item in enumerate(node.items))
            return node if all(map(operator.is_, renamed, node.items)) else node._replace(items=renamed)
        if records:
            record_type = only or kinds.get(kind_word(node))
            return node if record_type is None else _rename_fields(records[record_type], node, path, rename)
        return _rename_entries(node, keys or (), values, path, rename)

    return rename_in


def _rename_entries(table: Table, keys: tuple[str, ...], values: _Renamer | None, path: str, rename: Rename) -> Table:
    entries: dict[str, Entry] = {}
    for key, entry in table.entries.items():
        name = rename(Mention(f"{path}.{key}", key, entry.at, table.used, keys)) if keys else key
        value = values(entry.value, f"{path}.{key}", rename) if values else entry.value
        entries[name] = entry if value is entry.value else Entry(entry.at, value)
    unchanged = all(entries.get(key) is entry for key, entry in table.entries.items())
    return table if unchanged else table._replace(entries=entries)


def _rename_fields(renamers: tuple[tuple[str, _Renamer], ...], table: Table, prefix: str, rename: Rename) -> Table:
    changed: dict[str, Entry] = {}
    for name, renamer in renamers:
        entry = table.entries.get(name)
        if entry is None:
            continue
        value = renamer(entry.value, f"{prefix}.{name}" if prefix else name, rename)
        if value is not entry.value:
            changed[name] = Entry(entry.at, value)
    return table._replace(entries={**table.entries, **changed}) if changed else table


def _first(found: Iterator[Any]) -> Any:
    return next((one for one in found if one), None)

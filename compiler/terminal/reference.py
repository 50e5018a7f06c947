"""The reference of the language as Markdown, made from the records: `docs/language.md`.

python -m compiler.terminal.reference       # prints it; `make docs` writes it
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from compiler.artifacts import Kind
from compiler.experiment import MOST_ROUNDS, SECTIONS
from compiler.manifest import Placement
from compiler.reading.fields import accepts, hints_of, kinds_of, members, pieces_of, record_types
from compiler.render import render
from compiler.schema.base import Accepts, Record, parse_count
from compiler.schema.cluster import Cluster
from compiler.schema.described import descriptions
from compiler.stages import STAGES, Stage


def book() -> str:
    """The whole reference."""
    inner = [part for part in _reached(STAGES.values()) if part.__module__.startswith("compiler.stages.")]
    return render(
        "docs/language.md.j2",
        most_rounds=MOST_ROUNDS,
        artifacts="\n".join(_artifact_rows()),
        stages="\n".join(_stage(kind, inner) for kind in STAGES),
        pieces="\n".join(_pieces()),
        placement=_records(_with_inner(Placement)),
        clusters=_records(_with_inner(Cluster)),
    )


def _artifact_rows() -> Iterator[str]:
    yield "| artifact | made by | taken by |\n| --- | --- | --- |"
    for kind in Kind:
        makers = [name for name, stage in STAGES.items() if kind in _makes(stage)]
        takers = [name for name, stage in STAGES.items() if any(kind in _taken(part) for part in _reached([stage]))]
        yield f"| {kind} | {_stage_links(makers)} | {_stage_links(takers)} |"


def _makes(stage: type[Stage]) -> tuple[str, ...]:
    return get_args(hints_of(stage)[stage.output_field]) if stage.output_field else (str(stage.output),)


def _taken(record_type: type[Record]) -> set[str]:
    return {kind for hint in hints_of(record_type).values() for part in _parts(hint) for kind in accepts(part)}


def _stage_links(kinds: Iterable[str]) -> str:
    return ", ".join(f"[{kind}](#stage-{kind})" for kind in kinds) or "nothing yet"


def _stage(kind: str, inner: list[type[Record]]) -> str:
    stage = STAGES[kind]
    made = " or ".join(f"*{name}*" for name in _makes(stage))
    field = f" (as `{stage.output_field}` says)" if stage.output_field else ""
    own = [part for part in inner if part.__module__ == stage.__module__ and part is not stage]
    head = f'\n### <a id="stage-{kind}"></a>{kind}\n\n{_about(stage)}\n\nMakes {made}{field}.\n\n{_table(stage)}'
    return "".join([head, *map(_record, own)]).rstrip()


def _pieces() -> Iterator[str]:
    """The sections of named pieces first, then the records that stages hold without a name."""
    told: set[type[Record]] = set()
    for section, hint in SECTIONS.items():
        yield f"\n### {section}"
        for record_type in record_types(hint):
            told.add(record_type)
            yield _record(record_type).rstrip()
    rest: dict[str, list[type[Record]]] = {}
    for record_type in _reached([*STAGES.values(), *(one for hint in SECTIONS.values() for one in record_types(hint))]):
        room = record_type.__module__.removeprefix("compiler.schema.")
        if record_type not in told and record_type not in STAGES.values() and "." not in room:
            rest.setdefault(room, []).append(record_type)
    for room, records in rest.items():
        yield f"\n### {_ROOMS[room]}\n{_records(records)}".rstrip()


_ROOMS: Mapping[str, str] = {
    "conditions": "Conditions on rows",
    "judges": "Parts of judges",
    "losses": "Losses",
    "model": "FP8",
    "sampling": "Sampling",
    "sources": "Sources of adopted files",
    "topics": "Sources of topics",
    "training": "Learning rates and batch ramps",
}
"""Module of `compiler/schema` -> what its records are called, where they have no section in a recipe."""


def _records(records: Iterable[type[Record]]) -> str:
    return "".join(map(_record, records)).rstrip()


def _record(record_type: type[Record]) -> str:
    return f"\n#### {_anchor(record_type)}{_name(record_type)}\n\n{_about(record_type)}\n\n{_table(record_type)}"


def _about(record_type: type[Record]) -> str:
    """The record's own words; a paragraph stays one."""
    text = record_type.__doc__ or ""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _table(record_type: type[Record]) -> str:
    hints, texts, sections = hints_of(record_type), descriptions(record_type), pieces_of(record_type)
    lines = []
    for name, field in record_type.model_fields.items():
        if name == "kind" and len(_kinds(record_type)) == 1:
            continue
        words = _words(hints[name], tuple(field.metadata))
        if name in sections:
            words = f"name from `{sections[name]}`, or {words}"
        meaning = " ".join(texts.get(name, "Which of these it is." if name == "kind" else "").split())
        lines.append(f"| `{name}` | {words} | {_need(field)} | {_cell(meaning)} |\n")
    if not lines:
        return "It has no fields of its own.\n"
    return "".join(["| field | what is written | if absent | meaning |\n| --- | --- | --- | --- |\n", *lines])


def _need(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default
    if value is PydanticUndefined or value is None or value == () or isinstance(value, Record):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _words(hint: Any, limits: tuple[Any, ...] = ()) -> str:
    """A type as a person would say it."""
    records = record_types(hint)
    said = [_links(records)] if records else []
    said += [_form(one, asked) for one, asked in _alternatives(hint, limits) if one not in (*records, NoneType)]
    return " or ".join(dict.fromkeys(said))


def _alternatives(hint: Any, limits: tuple[Any, ...]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The members of a union, each with what annotations ask of it; a ref keeps its own annotation."""
    if get_origin(hint) is Annotated and not any(isinstance(part, Accepts) for part in get_args(hint)[1:]):
        yield from _alternatives(get_args(hint)[0], (*limits, *_limits(hint)))
    elif get_origin(hint) in (Union, UnionType):
        for part in get_args(hint):
            yield from _alternatives(part, limits)
    else:
        yield hint, limits


def _form(hint: Any, limits: tuple[Any, ...]) -> str:
    wanted = accepts(hint)
    if wanted:
        return f"stage that makes {' or '.join(f'*{kind}*' for kind in wanted)}"
    if get_origin(hint) is Literal:
        return " or ".join(f"`{word}`" for word in get_args(hint))
    if get_origin(hint) is tuple:
        return f"list, each {_words(get_args(hint)[0])}{_at_least_one(limits)}"
    if get_origin(hint) is dict:
        key, value = get_args(hint)
        return f"mapping: {_words(key)} → {_words(value)}{_at_least_one(limits)}"
    is_count = any(isinstance(one, BeforeValidator) and one.func is parse_count for one in limits)
    return "count" if is_count else ", ".join([_SCALARS[hint], *_bounds(limits)])


_SCALARS: Mapping[Any, str] = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def _at_least_one(limits: tuple[Any, ...]) -> str:
    return ", at least one" if any(isinstance(one, MinLen) and one.min_length for one in limits) else ""


def _bounds(limits: tuple[Any, ...]) -> Iterator[str]:
    for one in dict.fromkeys(limits):
        match one:
            case Gt(gt=bound):
                yield f"above {bound}"
            case Ge(ge=bound):
                yield f"at least {bound}"
            case Lt(lt=bound):
                yield f"below {bound}"
            case Le(le=bound):
                yield f"at most {bound}"


def _limits(hint: Any) -> Iterator[Any]:
    for part in get_args(hint)[1:]:
        yield from part.metadata if isinstance(part, FieldInfo) else [part]


def _links(records: tuple[type[Record], ...]) -> str:
    links = [f"[{_name(one)}](#{_id(one)})" for one in records]
    return links[0] if len(links) == 1 else f"one of {', '.join(links)}"


def _anchor(record_type: type[Record]) -> str:
    return f'<a id="{_id(record_type)}"></a>'


def _id(record_type: type[Record]) -> str:
    return f"{record_type.__module__.rpartition('.')[2]}-{record_type.__name__}".lower()


def _name(record_type: type[Record]) -> str:
    """How a recipe calls it: by its kind, or else by what it is."""
    kinds = _kinds(record_type)
    return " or ".join(f"`{kind}`" for kind in kinds) if kinds else _spaced(record_type.__name__)


def _kinds(record_type: type[Record]) -> tuple[str, ...]:
    return tuple(kinds_of(record_type))


def _spaced(name: str) -> str:
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)
    return words.strip().removesuffix(" spec")


def _with_inner(record_type: type[Record]) -> list[type[Record]]:
    return list(_reached([record_type]))


def _reached(records: Iterable[type[Record]]) -> Iterator[type[Record]]:
    """The records, and every record that may stand inside them, once each."""
    waiting, seen = list(records), set[type[Record]]()
    while waiting:
        record_type = waiting.pop(0)
        if record_type in seen:
            continue
        seen.add(record_type)
        yield record_type
        for hint in hints_of(record_type).values():
            waiting += [one for part in _parts(hint) for one in record_types(part)]


def _parts(hint: Any) -> Iterator[Any]:
    """A type and the types of what it holds: items, keys, entries."""
    for member in members(hint):
        yield member
        if get_origin(member) in (tuple, dict):
            for inner in get_args(member):
                if inner is not Ellipsis:
                    yield from _parts(inner)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(book())

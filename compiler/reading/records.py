"""A stage as it was written to its record: variables put in, named pieces put in, refs named, then validated."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

from pydantic import TypeAdapter, ValidationError

from compiler.codes import Code
from compiler.errors import did_you_mean
from compiler.experiment import SECTIONS, Built, StageEntry
from compiler.manifest import Placement
from compiler.reading.fields import Rename, pieces_of, rename_refs
from compiler.reading.problems import Problems
from compiler.reading.tree import Entry, Node, Scalar, Table, child, describe, plain, without
from compiler.reading.variables import Values, substitute
from compiler.reading.wording import note_errors
from compiler.schema.base import Record
from compiler.stages import STAGES, Stage

Pieces: TypeAlias = Mapping[str, Mapping[str, Table]]
"""Section -> name -> piece, ready to be put in."""


_LONGEST_CHAIN = 100


def prepare_pieces(sections: Pieces, values: Values, problems: Problems) -> Pieces:
    """Every named piece with its params put in and `extends` followed."""
    known = {
        section: {
            name: _as_table(substitute(piece, values, problems, f"{section}.{name}")) for name, piece in pieces.items()
        }
        for section, pieces in sections.items()
    }
    models = known.get("models", {})
    extended = {name: extend(model, models, problems, f"models.{name}") for name, model in models.items()}
    return {**known, "models": extended}


def check_pieces(pieces: Pieces, problems: Problems) -> None:
    """Validates every named piece, used or not."""
    for section, named in pieces.items():
        for name, piece in named.items():
            read(SECTIONS[section], piece, f"{section}.{name}", problems)


def extend(model: Table, models: Mapping[str, Table], problems: Problems, path: str) -> Table:
    """The model with the keys of what it extends, its own keys winning; unchanged, if that leads nowhere."""
    chain = [model]
    while (entry := chain[-1].entries.get("extends")) is not None:
        wrong = _wrong_extends(entry.value, chain, models)
        if wrong is not None and not problems.is_blamed(entry.value):
            message, code, hint = wrong
            problems.blame(entry.value, f"{path}.extends", message, code, hint=hint)
        if wrong is not None:
            for part in chain:
                problems.excuse(part.entries["extends"].value)
            return model
        chain.append(models[str(plain(entry.value))])
    entries: dict[str, Entry] = {}
    for part in reversed(chain):
        entries.update(part.entries)
    return without(model._replace(entries=entries), "extends")


def _wrong_extends(node: Node, chain: Sequence[Table], models: Mapping[str, Table]) -> tuple[str, Code, str] | None:
    """Message, code and hint, if the value of `extends` leads nowhere."""
    name = node.value if isinstance(node, Scalar) else None
    if not isinstance(name, str):
        return f"is {describe(node)}, but must be the name of a model", "wrong-type", ""
    if name not in models:
        return f"unknown model {name!r}", "unknown-name", did_you_mean(name, models)
    if any(models[name].at == part.at for part in chain):
        return f"models extend each other in a circle through {name!r}", "cycle", ""
    if len(chain) > _LONGEST_CHAIN:
        return f"models extend each other more than {_LONGEST_CHAIN} times", "too-large", ""
    return None


def build_stage(
    entry: StageEntry, values: Values, pieces: Pieces, problems: Problems, rename: Rename | None = None
) -> Built | None:
    """The stage's record, placement and pin; None where something is wrong, which is then among the problems."""
    before = len(problems)
    tree = _as_table(substitute(entry.tree, values, problems, entry.path)) if entry.varies else entry.tree
    record_type = _stage_type(tree, entry, problems)
    if record_type is None:
        return None
    placement = _placement(tree, entry.path, problems)
    pin = _pin(tree, entry.path, problems)
    tree = put_pieces(tree, record_type, pieces, entry.path, problems)
    if rename is not None:
        tree = rename_refs(record_type, tree, rename)
    stage = _read_stage(record_type, tree, entry.path, problems)
    if stage is None or placement is None or len(problems) > before:
        return None
    return Built(stage, placement, pin, tree)


def renamed(built: Built, path: str, problems: Problems, rename: Rename) -> Built | None:
    """The stage with its refs named; the very same where every ref is the label already."""
    tree = rename_refs(type(built.stage), built.tree, rename)
    if tree is built.tree:
        return built
    stage = _read_stage(type(built.stage), tree, path, problems)
    return built._replace(stage=stage, tree=tree) if stage is not None else None


def _read_stage(record_type: type[Stage], tree: Table, path: str, problems: Problems) -> Stage | None:
    bare = without(tree, *BESIDE) if any(key in tree.entries for key in BESIDE) else tree
    stage = read(record_type, bare, path, problems, more_keys=BESIDE)
    assert stage is None or isinstance(stage, Stage)
    return stage


def put_pieces(tree: Table, record_type: type[Record], pieces: Pieces, path: str, problems: Problems) -> Table:
    """The tree with named pieces in the place of their names."""
    changed: dict[str, Entry] = {}
    for field, section in pieces_of(record_type).items():
        entry = tree.entries.get(field)
        if entry is None:
            continue
        value, named = entry.value, pieces.get(section, {})
        if isinstance(value, Scalar) and isinstance(value.value, str):
            piece = named.get(value.value)
            if piece is not None:
                changed[field] = Entry(entry.at, piece._replace(used=value.at))
            elif not problems.is_blamed(value):
                hint = did_you_mean(value.value, named) or f"there is no section `{section}`"
                message = f"no {value.value!r} in `{section}`"
                problems.blame(value, f"{path}.{field}", message, "unknown-name", hint=hint)
        elif isinstance(value, Table) and section == "models" and "extends" in value.entries:
            changed[field] = Entry(entry.at, extend(value, named, problems, f"{path}.{field}"))
    return tree._replace(entries={**tree.entries, **changed}) if changed else tree


def read(hint: Any, tree: Table, path: str, problems: Problems, *, more_keys: Sequence[str] = ()) -> Any:
    """The tree as a value of this type; None with the reasons among the problems."""
    try:
        return _adapter(_Type(hint)).validate_python(plain(tree))
    except ValidationError as error:
        note_errors(error, tree, hint, path, problems, more_keys=more_keys)
        return None


class _Type:
    """A type as a key of caches, by identity: annotations need not be hashable."""

    __slots__ = ("hint",)

    def __init__(self, hint: Any) -> None:
        self.hint = hint

    def __hash__(self) -> int:
        return id(self.hint)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Type) and other.hint is self.hint


@cache
def _adapter(kind: _Type) -> TypeAdapter[Any]:
    return TypeAdapter(kind.hint)


def _as_table(node: Any) -> Table:
    assert isinstance(node, Table)
    return node


def _stage_type(tree: Table, entry: StageEntry, problems: Problems) -> type[Stage] | None:
    kind = tree.entries["kind"].value
    word = kind.value if isinstance(kind, Scalar) else None
    if isinstance(word, str) and word in STAGES:
        return STAGES[word]
    if not problems.is_blamed(kind):
        hint = did_you_mean(str(word), STAGES)
        problems.blame(kind, f"{entry.path}.kind", f"unknown kind {describe(kind)}", "unknown-kind", hint=hint)
    return None


BESIDE = ("placement", "pin")
"""What may stand in a stage beside the fields of its record: none of it says what is computed."""

_NO_PLACEMENT = Placement()
_FINGERPRINT = re.compile(r"[0-9a-f]{6,16}")


def _pin(tree: Table, path: str, problems: Problems) -> str:
    node = child(tree, "pin")
    if node is None or problems.is_blamed(node) or (isinstance(node, Scalar) and node.value is None):
        return ""
    # What was written counts: to YAML 12345678 is a number, and so is 1234e567.
    if isinstance(node, Scalar) and _FINGERPRINT.fullmatch(node.text):
        return node.text
    message = f"is {describe(node)}, but must be the beginning of a fingerprint"
    hint = "6 to 16 of the digits 0-9 and a-f, as `rung plan --json` and `rung explain` show them"
    problems.blame(node, f"{path}.pin", message, "wrong-value", hint=hint)
    return ""


def _placement(tree: Table, path: str, problems: Problems) -> Placement | None:
    entry = tree.entries.get("placement")
    if entry is None:
        return _NO_PLACEMENT
    if not isinstance(entry.value, Table):
        problems.blame(
            entry.value, f"{path}.placement", f"is {describe(entry.value)}, but must be a mapping", "wrong-type"
        )
        return None
    placement = read(Placement, entry.value, f"{path}.placement", problems)
    assert placement is None or isinstance(placement, Placement)
    return placement

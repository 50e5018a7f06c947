"""Pass 2, Document -> Experiment: every key, type, range, name and variable of a spec is checked, all at once.

    experiment = validate(load(path, overrides))      # raises SpecError with every problem

A stage is checked with the values that its variables will take: each value of a sweep, each entry of `over`, the first
round of `repeat`. So a mistake inside a loop is found here, and once. What stays words is what other passes look up:
refs, which `elaborate` turns into labels and `graph` checks.

    read_record(file, Cluster)                        # one YAML file as one record, with the same errors
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from compiler.errors import did_you_mean
from compiler.experiment import (
    LANGUAGE_VERSION,
    MOST_ROUNDS,
    SECTIONS,
    Axis,
    Budgeted,
    Built,
    Experiment,
    LoopEntry,
    PipelineEntry,
    StageEntry,
)
from compiler.load import Document, load_tree
from compiler.reading.problems import Problems
from compiler.reading.records import Pieces, build_stage, check_pieces, prepare_pieces, read
from compiler.reading.rounds import number_of_rounds
from compiler.reading.tree import Entry, Listing, Node, Place, Scalar, Table, describe
from compiler.reading.variables import Values, substitute, variables_in
from compiler.schema.base import Record
from compiler.schema.budget import Budget

_TOP = ("rung", "name", "params", *SECTIONS, "pipeline", "matrix", "budget")
_LOOP = ("repeat", "over", "carry", "stages", "yield")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_NAME_HINT = "a name is letters, digits, _ and -, and begins with a letter"
_EXPERIMENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DEEPEST_LOOP = 8
_LONGEST_NAME = 100

R = TypeVar("R", bound=Record)


def read_record(file: Path, record_type: type[R]) -> R:
    """The record that a YAML file holds; mistakes in it are told like a spec's."""
    problems = Problems()
    record = read(record_type, load_tree(file), "", problems)
    problems.raise_any()
    assert isinstance(record, record_type)
    return record


def validate(document: Document) -> Experiment:
    """Checks the whole spec; raises SpecError with every problem."""
    problems = Problems()
    root = document.root
    _check_top(root, problems)
    params = _params(root, problems)
    sections = _sections(root, problems)
    matrix = _matrix(root, params, problems)
    pipeline = _pipeline(root, problems)
    name = _name(root, params, problems)
    budget = _budget(root, params, problems)
    built: dict[str, Built] = {}
    for values in _points_to_check(params, matrix):
        pieces = prepare_pieces(sections, values, problems)
        check_pieces(pieces, problems)
        check = _Check(pieces, problems)
        check.entries(pipeline, values, whole=True)
        built = {} if matrix else check.built
    _check_reports(pipeline, matrix, problems)
    problems.raise_any()
    return Experiment(name, document.file, params, sections, pipeline, matrix, budget, built)


# --- the top of the spec ---------------------------------------------------------------------------------------------


def _check_top(root: Table, problems: Problems) -> None:
    for key, entry in root.entries.items():
        if key not in _TOP:
            problems.add(entry.at, key, "unknown key", "unknown-key", hint=did_you_mean(key, [*_TOP, "use"]))
    version = root.entries.get("rung")
    if version is None:
        problems.add(root.at, "rung", "is missing", "missing-key", hint=f"a spec says `rung: {LANGUAGE_VERSION}`")
    elif (
        not isinstance(version.value, Scalar) or version.value.value is True or version.value.value != LANGUAGE_VERSION
    ):
        message = f"is {describe(version.value)}, but must be {LANGUAGE_VERSION}"
        problems.blame(version.value, "rung", message, "wrong-version", hint="it is the version of the language")
    for key in ("name", "pipeline"):
        if key not in root.entries:
            problems.add(root.at, key, "is missing", "missing-key")


def _name(root: Table, params: Values, problems: Problems) -> str:
    entry = root.entries.get("name")
    if entry is None:
        return ""
    node = substitute(entry.value, params, problems, "name")
    if isinstance(node, Scalar) and isinstance(node.value, str) and _EXPERIMENT_NAME.fullmatch(node.value):
        return node.value
    if not problems.is_blamed(node):
        hint = (
            f'write "{node.text}" in quotes' if isinstance(node, Scalar) and isinstance(node.value, int | float) else ""
        )
        hint = hint or "it becomes part of folder names"
        message = f"is {describe(node)}, but must be a word of letters, digits, . _ and -"
        problems.blame(node, "name", message, "bad-name", hint=hint)
    return ""


def _budget(root: Table, params: Values, problems: Problems) -> Budgeted | None:
    entry = root.entries.get("budget")
    if entry is None:
        return None
    node = substitute(entry.value, params, problems, "budget")
    if not isinstance(node, Table):
        problems.blame(node, "budget", f"is {describe(node)}, but must be a mapping", "wrong-type")
        return None
    record = read(Budget, node, "budget", problems)
    return Budgeted(record, node) if isinstance(record, Budget) else None


def _table(root: Table, key: str, problems: Problems, path: str = "") -> Mapping[str, Entry]:
    """The entries of a mapping that may be absent."""
    entry = root.entries.get(key)
    if entry is None:
        return {}
    if not isinstance(entry.value, Table):
        message = f"is {describe(entry.value)}, but must be a mapping"
        problems.blame(entry.value, f"{path}{key}", message, "wrong-type")
        return {}
    return entry.value.entries


def _check_name(name: str, at: Place, path: str, problems: Problems) -> None:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        problems.add(at, path, f"{name[:60]!r} is not a name", "bad-name", hint=_NAME_HINT)


def _params(root: Table, problems: Problems) -> Values:
    params: dict[str, Node] = {}
    for name, entry in _table(root, "params", problems).items():
        path = f"params.{name}"
        _check_name(name, entry.at, path, problems)
        if isinstance(entry.value, Table) or _holds_no_scalars(entry.value):
            message = f"is {describe(entry.value)}, but must be a single value or a list of values"
            problems.blame(entry.value, path, message, "wrong-type")
        if variables_in(entry.value):
            problems.blame(
                entry.value, path, "a param must not use variables", "bad-variable", hint="write the value out"
            )
        params[path] = entry.value
    return params


def _holds_no_scalars(node: Node) -> bool:
    return isinstance(node, Listing) and not all(isinstance(item, Scalar) for item in node.items)


def _sections(root: Table, problems: Problems) -> Mapping[str, Mapping[str, Table]]:
    sections: dict[str, dict[str, Table]] = {}
    for section in SECTIONS:
        sections[section] = {}
        for name, entry in _table(root, section, problems).items():
            path = f"{section}.{name}"
            _check_name(name, entry.at, path, problems)
            if isinstance(entry.value, Table):
                sections[section][name] = entry.value
            else:
                message = f"is {describe(entry.value)}, but must be a mapping"
                problems.blame(entry.value, path, message, "wrong-type")
    return sections


# --- sweeps ----------------------------------------------------------------------------------------------------------


def _matrix(root: Table, params: Values, problems: Problems) -> tuple[Axis, ...]:
    axes = []
    for key, entry in _table(root, "matrix", problems).items():
        path = f"matrix.{key}"
        if key not in params:
            hint = f"write params.{key}" if f"params.{key}" in params else did_you_mean(key, params)
            problems.add(entry.at, path, f"unknown param {key!r}", "unknown-variable", hint=hint)
            continue
        values = _axis_values(entry.value, path, problems)
        if values:
            axes.append(Axis(key, entry.at, values))
    return tuple(axes)


def _axis_values(node: Node, path: str, problems: Problems) -> tuple[Scalar, ...]:
    if not isinstance(node, Listing) or not node.items:
        message = f"is {'an empty list' if isinstance(node, Listing) else describe(node)}, but must be a list of values"
        problems.blame(node, path, message, "wrong-type")
        return ()
    seen: dict[str, Place] = {}
    for index, item in enumerate(node.items):
        if not isinstance(item, Scalar) or item.value is None or variables_in(item):
            problems.blame(item, f"{path}.{index}", f"is {describe(item)}, but must be a single value", "wrong-type")
            return ()
        if item.text in seen:
            first = ((seen[item.text], "first written here"),)
            problems.blame(item, f"{path}.{index}", f"{item.text} stands twice", "duplicate-value", related=first)
        seen[item.text] = item.at
    return tuple(item for item in node.items if isinstance(item, Scalar))


def _points_to_check(params: Values, matrix: Sequence[Axis]) -> Iterator[Values]:
    """As few points of a sweep as show every value of every axis."""
    for index in range(max((len(axis.values) for axis in matrix), default=1)):
        yield {**params, **{axis.param: axis.values[index % len(axis.values)] for axis in matrix}}


def _check_reports(pipeline: Sequence[PipelineEntry], matrix: Sequence[Axis], problems: Problems) -> None:
    """A report gathers all points of a sweep, so it cannot depend on one of them."""
    swept = {axis.param: axis.at for axis in matrix}
    for entry in pipeline:
        if isinstance(entry, StageEntry) and entry.kind == "report":
            for name in sorted(variables_in(entry.tree) & set(swept)):
                message = f"a report gathers every point of the sweep, so it cannot use ${{{name}}}"
                problems.add(entry.at, entry.path, message, "swept-report", related=((swept[name], "swept here"),))


# --- the pipeline: what is written ---------------------------------------------------------------------------------


def _pipeline(root: Table, problems: Problems) -> tuple[PipelineEntry, ...]:
    entries = _table(root, "pipeline", problems)
    node = root.entries["pipeline"].value if "pipeline" in root.entries else None
    if isinstance(node, Table) and not node.entries:
        problems.blame(node, "pipeline", "has no stages", "too-few")
    return _entries(entries, "pipeline", {}, 0, problems)


def _entries(
    entries: Mapping[str, Entry], path: str, outer: Mapping[str, Place], depth: int, problems: Problems
) -> tuple[PipelineEntry, ...]:
    """Stages and loops; `outer` are the names that can be seen around them."""
    found = []
    visible = {**outer, **{name: entry.at for name, entry in entries.items()}} if _has_loops(entries) else outer
    for name, entry in entries.items():
        here = f"{path}.{name}"
        _check_name(name, entry.at, here, problems)
        if name in outer:
            related = ((outer[name], "the outer one"),)
            message = f"the name {name!r} is also used outside the loop"
            problems.add(entry.at, here, message, "name-clash", hint="rename one of them", related=related)
        one = _entry(name, entry, here, visible, depth, problems)
        if one is not None:
            found.append(one)
    return tuple(found)


def _has_loops(entries: Mapping[str, Entry]) -> bool:
    return any(isinstance(entry.value, Table) and "kind" not in entry.value.entries for entry in entries.values())


def _entry(
    name: str, entry: Entry, path: str, visible: Mapping[str, Place], depth: int, problems: Problems
) -> PipelineEntry | None:
    node = entry.value
    if not isinstance(node, Table):
        message = f"is {describe(node)}, but must be a stage or a loop"
        problems.blame(node, path, message, "wrong-type", hint="a stage is a mapping with a `kind`")
        return None
    if "kind" in node.entries:
        return StageEntry(name, path, entry.at, node)
    if not any(key in node.entries for key in _LOOP):
        hint = "a stage says its `kind`; a loop says `repeat` or `over`, and `stages`"
        problems.add(node.at, f"{path}.kind", "is missing", "missing-key", hint=hint)
        return None
    if depth >= _DEEPEST_LOOP:
        problems.add(node.at, path, f"loops are nested deeper than {_DEEPEST_LOOP}", "too-large")
        return None
    return _loop(name, entry.at, node, path, visible, depth, problems)


def _loop(
    name: str, at: Place, node: Table, path: str, visible: Mapping[str, Place], depth: int, problems: Problems
) -> LoopEntry:
    for key, entry in node.entries.items():
        if key not in _LOOP:
            problems.add(
                entry.at, f"{path}.{key}", "unknown key", "unknown-key", hint=did_you_mean(key, [*_LOOP, "kind"])
            )
    over = _over(node, path, problems)
    carry = _refs(node, "carry", path, problems)
    for variable, first in carry.items():
        if over and variable in over[0].entries:
            related = ((over[0].entries[variable].at, "also given here"),)
            problems.add(
                first.at,
                f"{path}.carry.{variable}",
                f"{variable!r} is also given by `over`",
                "name-clash",
                related=related,
            )
    yields = _refs(node, "yield", path, problems)
    _check_yields(node, carry, yields, path, problems)
    body = _table(node, "stages", problems, f"{path}.")
    if not body and not ("stages" in node.entries and problems.is_blamed(node.entries["stages"].value)):
        message = "has no stages" if "stages" in node.entries else "is missing"
        problems.add(node.at, f"{path}.stages", message, "missing-key")
    entries = _entries(body, f"{path}.stages", visible, depth + 1, problems)
    return LoopEntry(name, path, at, _repeat(node, path, problems), over, carry, entries, yields)


def _repeat(node: Table, path: str, problems: Problems) -> Scalar | None:
    repeat, over = node.entries.get("repeat"), node.entries.get("over")
    if repeat is None and over is None:
        hint = "`repeat: 3`, or `over` with the values of each round"
        problems.add(node.at, f"{path}.repeat", "is missing", "missing-key", hint=hint)
    if repeat is None:
        return None
    if over is not None:
        related = ((over.at, "`over` stands here"),)
        problems.add(
            repeat.at, f"{path}.repeat", "a loop has either `repeat` or `over`", "wrong-value", related=related
        )
    if isinstance(repeat.value, Scalar):
        return repeat.value
    problems.blame(
        repeat.value, f"{path}.repeat", f"is {describe(repeat.value)}, but must be a whole number", "wrong-type"
    )
    return None


def _over(node: Table, path: str, problems: Problems) -> tuple[Table, ...] | None:
    entry = node.entries.get("over")
    if entry is None:
        return None
    path = f"{path}.over"
    if not isinstance(entry.value, Listing) or not entry.value.items:
        shown = "an empty list" if isinstance(entry.value, Listing) else describe(entry.value)
        hint = "each entry gives the variables of one round: `- {base: small}`"
        problems.blame(entry.value, path, f"is {shown}, but must be a list of mappings", "wrong-type", hint=hint)
        return ()
    if len(entry.value.items) > MOST_ROUNDS:
        problems.blame(entry.value, path, f"has {len(entry.value.items)} rounds; at most {MOST_ROUNDS}", "out-of-range")
        return ()
    rounds = []
    for index, item in enumerate(entry.value.items):
        if isinstance(item, Table) and item.entries:
            rounds.append(item)
        else:
            problems.blame(
                item, f"{path}.{index}", f"is {describe(item)}, but must be a mapping of variables", "wrong-type"
            )
    _check_rounds(rounds, path, problems)
    return tuple(rounds)


def _check_rounds(rounds: Sequence[Table], path: str, problems: Problems) -> None:
    """Every round gives the same variables, each a single value."""
    for index, item in enumerate(rounds):
        for name, entry in item.entries.items():
            here = f"{path}.{index}.{name}"
            _check_variable_name(name, entry.at, here, problems)
            if not isinstance(entry.value, Scalar):
                problems.blame(
                    entry.value, here, f"is {describe(entry.value)}, but must be a single value", "wrong-type"
                )
            if name not in rounds[0].entries:
                hint = did_you_mean(name, rounds[0].entries)
                related = ((rounds[0].at, "the first round"),)
                problems.add(
                    entry.at, here, "is not given by the first round", "unknown-key", hint=hint, related=related
                )
        for name, first in rounds[0].entries.items():
            if name not in item.entries:
                related = ((first.at, "given by the first round"),)
                problems.add(item.at, f"{path}.{index}.{name}", "is missing", "missing-key", related=related)


def _check_variable_name(name: str, at: Place, path: str, problems: Problems) -> None:
    if name in ("round", "params"):
        problems.add(at, path, f"{name!r} has a meaning of its own", "bad-name", hint="choose another name")
    _check_name(name, at, path, problems)


def _refs(node: Table, key: str, path: str, problems: Problems) -> Mapping[str, Scalar]:
    """Variable -> ref."""
    found = {}
    for name, entry in _table(node, key, problems, f"{path}.").items():
        here = f"{path}.{key}.{name}"
        _check_variable_name(name, entry.at, here, problems)
        if isinstance(entry.value, Scalar) and isinstance(entry.value.value, str):
            found[name] = entry.value
        else:
            message = f"is {describe(entry.value)}, but must be the name of a stage"
            problems.blame(entry.value, here, message, "wrong-type")
    return found


def _check_yields(
    node: Table, carry: Mapping[str, Scalar], yields: Mapping[str, Scalar], path: str, problems: Problems
) -> None:
    carried, yielded = node.entries.get("carry"), node.entries.get("yield")
    for name in carry:
        if name not in yields and not (
            yielded and (problems.is_blamed(yielded.value) or _has_key(yielded.value, name))
        ):
            at = yielded.value.at if yielded else node.at
            hint = "the stage of the body that is its value in the next round"
            related = ((carry[name].at, "carried from here"),)
            problems.add(at, f"{path}.yield.{name}", "is missing", "missing-key", hint=hint, related=related)
    for name, ref in yields.items():
        if name not in carry and not (carried and _has_key(carried.value, name)):
            hint = did_you_mean(name, carry) or "only what is carried can be yielded"
            problems.add(ref.at, f"{path}.yield.{name}", "is not carried", "unknown-key", hint=hint)


def _has_key(node: Node, key: str) -> bool:
    return isinstance(node, Table) and key in node.entries


# --- the pipeline: with the values of its variables -----------------------------------------------------------------


class _Check:
    """Builds every stage for as few rounds as show every value; kept is what is the same in all of them."""

    def __init__(self, pieces: Pieces, problems: Problems) -> None:
        self.built: dict[str, Built] = {}
        self._pieces = pieces
        self._problems = problems

    def entries(self, entries: Sequence[PipelineEntry], values: Values, *, whole: bool) -> None:
        """`whole`: inner loops go through all their rounds, not through the first one only."""
        for entry in entries:
            if self._problems.full:
                return
            if isinstance(entry, StageEntry):
                built = build_stage(entry, values, self._pieces, self._problems)
                if built is not None and not entry.varies:
                    self.built[entry.path] = built
            else:
                self._loop(entry, values, whole=whole)

    def _loop(self, loop: LoopEntry, values: Values, *, whole: bool) -> None:
        start = self._start(loop, values)
        first = True
        for index, given in enumerate(loop.over or ({},), start=1):
            variables = self._given(given, values, f"{loop.path}.over.{index - 1}") if isinstance(given, Table) else {}
            inner = {**values, **start, **variables, "round": Scalar(index, str(index), loop.at)}
            self.entries(loop.body, inner, whole=whole and first)
            for name, ref in loop.yields.items():
                self._ref(ref, inner, f"{loop.path}.yield.{name}")
            if not whole:
                return
            first = False

    def _start(self, loop: LoopEntry, values: Values) -> dict[str, Node]:
        if loop.repeat is not None:
            number_of_rounds(loop, values, self._problems)
        start: dict[str, Node] = {}
        for name, ref in loop.carry.items():
            self._not_taken(name, ref.at, values, f"{loop.path}.carry.{name}")
            start[name] = self._ref(ref, values, f"{loop.path}.carry.{name}")
        return start

    def _given(self, given: Table, values: Values, path: str) -> dict[str, Node]:
        found = {}
        for name, entry in given.entries.items():
            self._not_taken(name, entry.at, values, f"{path}.{name}")
            found[name] = substitute(entry.value, values, self._problems, f"{path}.{name}")
        return found

    def _not_taken(self, name: str, at: Place, values: Values, path: str) -> None:
        if name in values and name != "round":
            self._problems.add(
                at, path, f"the variable {name!r} is also one of an outer loop", "name-clash", hint="rename it"
            )

    def _ref(self, ref: Scalar, values: Values, path: str) -> Node:
        node = substitute(ref, values, self._problems, path)
        if not self._problems.is_blamed(node) and not (isinstance(node, Scalar) and isinstance(node.value, str)):
            message = f"is {describe(node)}, but must be the name of a stage"
            self._problems.blame(node, path, message, "wrong-type")
        return node

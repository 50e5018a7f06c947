"""Which stage a name means: the rounds of loops, what they yield, and what can be seen from where."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from compiler.experiment import LoopEntry, PipelineEntry, StageEntry
from compiler.reading.problems import Problems
from compiler.reading.rounds import number_of_rounds
from compiler.reading.tree import Node, Place, Scalar, text_node
from compiler.reading.variables import Values, substitute
from compiler.stages import STAGES

_LONGEST_CHAIN = 100


class Visible(NamedTuple):
    """A name that may be written at some place, and the artifact kind that its stage makes."""

    name: str
    artifact: str


class Scope:
    """The stages and loops of a pipeline, or of one round of a loop."""

    def __init__(
        self, entries: Sequence[PipelineEntry], prefix: str, values: Values, outer: "Scope | None", unroller: "Unroller"
    ) -> None:
        self.prefix = prefix
        self.values = values
        self.stages = {entry.name: entry for entry in entries if isinstance(entry, StageEntry)}
        self.loops = {entry.name: Loop(entry, self, unroller) for entry in entries if isinstance(entry, LoopEntry)}
        self._outer = outer

    def label_of(self, ref: str) -> str | None:
        """The label of what a ref means here; None if there is no such thing."""
        head, *rest = ref.split(".")
        scope: Scope | None = self
        while scope is not None:
            if head in scope.stages or head in scope.loops:
                return scope._own(head, rest)
            scope = scope._outer
        return None

    def _own(self, head: str, rest: list[str]) -> str | None:
        if head in self.stages:
            whole = not rest or rest == [artifact_of(self.stages[head])]
            return f"{self.prefix}{head}" if whole else None
        loop = self.loops[head]
        if not rest:
            return None
        if rest[0].isdecimal():
            body = loop.round(int(rest[0])) if len(rest[0]) <= 6 and len(rest) > 1 else None
            known = body is not None and (rest[1] in body.stages or rest[1] in body.loops)
            return body._own(rest[1], rest[2:]) if body is not None and known else None
        return loop.yielded(rest[0]) if len(rest) == 1 else None

    def visible(self) -> Iterator[Visible]:
        """The names that may be written here, those of the loop's body first."""
        scope: Scope | None = self
        while scope is not None:
            for name, stage in scope.stages.items():
                yield Visible(name, artifact_of(stage))
            for name, loop in scope.loops.items():
                yield from loop.visible(name)
            scope = scope._outer


class Loop:
    """A loop's rounds, each made when it is first asked for."""

    def __init__(self, entry: LoopEntry, scope: Scope, unroller: "Unroller") -> None:
        self.entry = entry
        self._scope = scope
        self._unroller = unroller
        self._rounds: list[Scope] = []
        self._busy = False
        self._asked: set[str] = set()
        self.count = number_of_rounds(entry, scope.values, unroller.problems)

    def round(self, number: int) -> Scope | None:
        """The body in one round; None where there is no such round, or it cannot be known yet."""
        if not 1 <= number <= self.count:
            return None
        while len(self._rounds) < number:
            if not self._grow():
                return None
        return self._rounds[number - 1]

    def yielded(self, variable: str) -> str | None:
        """The label that a carried variable has after the last round; None where loops pass it in a circle."""
        ref = self.entry.yields.get(variable)
        last = self.round(self.count)
        if ref is None or last is None or variable in self._asked:
            return None
        self._asked.add(variable)
        try:
            return last.label_of(self._unroller.text(ref, last.values, f"{self.entry.path}.yield.{variable}"))
        finally:
            self._asked.remove(variable)

    def visible(self, name: str) -> Iterator[Visible]:
        """What may be written of this loop from outside."""
        body = {stage.name: artifact_of(stage) for stage in self.entry.body if isinstance(stage, StageEntry)}
        for variable, ref in self.entry.yields.items():
            yield Visible(f"{name}.{variable}", body.get(ref.text, ""))
        if self.count:
            for stage in self.entry.body:
                if isinstance(stage, StageEntry):
                    yield Visible(f"{name}.{self.count}.{stage.name}", artifact_of(stage))

    def _grow(self) -> bool:
        """Makes the next round; False where loops carry each other's values in a circle."""
        if self._busy or self._unroller.depth >= _LONGEST_CHAIN:
            return False
        self._busy = True
        self._unroller.depth += 1
        try:
            number = len(self._rounds) + 1
            self._rounds.append(self._round(number))
        finally:
            self._unroller.depth -= 1
            self._busy = False
        return True

    def _round(self, number: int) -> Scope:
        entry, outer = self.entry, self._scope
        values: dict[str, Node] = {**outer.values, "round": Scalar(number, str(number), entry.at)}
        if entry.over:
            for name, given in entry.over[number - 1].entries.items():
                values[name] = substitute(given.value, outer.values, self._unroller.problems, f"{entry.path}.over")
        for variable, first in entry.carry.items():
            before = self._rounds[-1] if self._rounds else outer
            ref = entry.yields[variable] if self._rounds else first
            word = "yield" if self._rounds else "carry"
            text = self._unroller.text(ref, before.values, f"{entry.path}.{word}.{variable}")
            values[variable] = text_node(before.label_of(text) or text, ref)
        return Scope(entry.body, f"{outer.prefix}{entry.name}.{number}.", values, outer, self._unroller)


class Unroller:
    """What all scopes of one point share."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.depth = 0

    def text(self, ref: Scalar, values: Values, path: str) -> str:
        """A ref with its variables put in."""
        node = substitute(ref, values, self.problems, path)
        return str(node.value) if isinstance(node, Scalar) else ""


def artifact_of(entry: StageEntry) -> str:
    """The artifact kind that a stage makes."""
    if entry.kind not in STAGES:
        return ""
    record_type = STAGES[entry.kind]
    if not record_type.output_field:
        return str(record_type.output)
    told = entry.tree.entries.get(record_type.output_field)
    return told.value.text if told and isinstance(told.value, Scalar) else ""


class CarriedRef(NamedTuple):
    """A ref that a loop carries or yields."""

    path: str
    written: str
    at: Place
    used: Place | None
    label: str | None
    scope: Scope


def carried_refs(loop: Loop, scope: Scope) -> Iterator[CarriedRef]:
    """What a loop carries in, and what each round yields; they must exist even where nobody uses them."""
    for kind, refs, where in _refs_of(loop, scope):
        for variable, ref in refs.items():
            path = f"{loop.entry.path}.{kind}.{variable}"
            text = loop._unroller.text(ref, where.values, path)
            yield CarriedRef(path, text, ref.at, None, where.label_of(text), where)


def _refs_of(loop: Loop, scope: Scope) -> Iterator[tuple[str, Mapping[str, Scalar], Scope]]:
    yield "carry", loop.entry.carry, scope
    last = loop.round(loop.count)
    if last is not None:
        yield "yield", loop.entry.yields, last

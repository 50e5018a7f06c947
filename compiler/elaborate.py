"""Pass 3, Experiment -> Program: loops unrolled, sweeps multiplied, every ref the whole label of a stage.

    program = elaborate(experiment)
    for stage in program.stages:          # in written order
        stage.label                       # `base`, `rpo.1.train`, `train@seed=2`, `rpo.1.train@beta=0.1,seed=2`
        stage.stage, stage.placement      # the record, whose refs are labels, and where it is computed
        stage.refs                        # its refs, each with where it was written and the label it means
        stage.span, stage.spans["loss.beta"]

Inside a loop's body a bare name means that round's stage, or else one outside. From outside `rpo.policy` is what the
last round yields and `rpo.2.train` a stage of round 2. With a `matrix` the pipeline stands once for each point; a
report stands once, and its rows gather all points. A ref that means nothing stays as it was written: `graph` tells.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import NamedTuple

from compiler.errors import Span
from compiler.experiment import Axis, Budgeted, Built, Experiment, LoopEntry, PipelineEntry, StageEntry
from compiler.manifest import Placement
from compiler.reading.fields import Mention
from compiler.reading.problems import Problems
from compiler.reading.records import Pieces, build_stage, prepare_pieces, renamed
from compiler.reading.rounds import number_of_rounds
from compiler.reading.scopes import Scope, Unroller, Visible, carried_refs
from compiler.reading.tree import Entry, FieldSpans, Listing, Node, Place, Scalar, Table, span
from compiler.reading.variables import Values
from compiler.stages import Stage

MOST_STAGES = 200_000


class ProgramRef(NamedTuple):
    """One mention of another stage."""

    path: str
    """Of the field in the stage, as `loss.beta` or `data.web`."""
    label: str
    """The stage that is meant; as written, if there is none."""
    written: str
    accepts: tuple[str, ...]
    """The artifact kinds that the field takes; empty where a loop carries or yields it."""
    at: Place
    used: Place | None
    visible: tuple[Visible, ...] | None = None
    """What might have been written; only given where the ref means nothing."""


@dataclass(frozen=True)
class ProgramStage:
    """One stage, ready to be joined with others."""

    label: str
    stage: Stage
    placement: Placement
    pin: str
    """The beginning of the fingerprint of the sealed artifact to use; empty where there is none."""
    path: str
    """Of the stage in the spec, as `pipeline.rpo.stages.train`: equal for all rounds and points."""
    at: Place
    tree: Table
    refs: tuple[ProgramRef, ...]

    @property
    def kind(self) -> str:
        """The stage kind."""
        return str(getattr(self.stage, "kind", ""))

    @property
    def span(self) -> Span:
        """Where its name stands."""
        return span(self.at)

    @property
    def spans(self) -> FieldSpans:
        """Where its fields stand, by their paths."""
        return FieldSpans(self.tree)


@dataclass(frozen=True)
class Program:
    """Every stage that an experiment unrolls to, in written order."""

    name: str
    params: Mapping[str, object]
    stages: tuple[ProgramStage, ...]
    carried: tuple[tuple[str, ProgramRef], ...] = ()
    """What loops carry and yield: (path, ref). Such refs make no edges, but must mean something."""
    budget: Budgeted | None = None


def elaborate(experiment: Experiment) -> Program:
    """Unrolls the experiment; raises SpecError where that gives too many stages or a value that no stage takes."""
    problems = Problems()
    points = _points(experiment, problems)
    _check_size(experiment, points, problems)
    problems.raise_any()
    unrolled = _unroll(experiment, points, problems)
    stages = [stage for point in unrolled for stage in point.stages]
    stages += _reports(experiment, [point.scope for point in unrolled], points, problems)
    problems.raise_any()
    params = {name.removeprefix("params."): _plain_param(value) for name, value in experiment.params.items()}
    carried = tuple(ref for point in unrolled for ref in point.carried)
    return Program(experiment.name, params, tuple(stages), carried, experiment.budget)


class _Point(NamedTuple):
    """One point of a sweep; an experiment without a matrix has one, whose suffix is empty."""

    suffix: str
    values: Values


def _points(experiment: Experiment, problems: Problems) -> Sequence[_Point]:
    axes = experiment.matrix
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if count > MOST_STAGES:
        problems.add(axes[0].at, "matrix", f"the sweep has {count:,} points; at most {MOST_STAGES:,}", "too-large")
        return ()
    points = []
    for combination in product(*(axis.values for axis in axes)):
        values = {axis.param: value for axis, value in zip(axes, combination, strict=True)}
        points.append(_Point(_suffix(axes, combination), {**experiment.params, **values}))
    return points


def _suffix(axes: Sequence[Axis], values: Sequence[Scalar]) -> str:
    words = [
        f"{axis.param.removeprefix('params.')}={_word(axis, value)}" for axis, value in zip(axes, values, strict=True)
    ]
    return "@" + ",".join(words) if words else ""


def _word(axis: Axis, value: Scalar) -> str:
    """The value as part of a label, which becomes part of file names: other characters give way to its number."""
    if (
        value.text
        and all(letter.isascii() and (letter.isalnum() or letter in "._+-") for letter in value.text)
        and len(value.text) <= 40
    ):
        return value.text
    return f"value{axis.values.index(value) + 1}"


def _check_size(experiment: Experiment, points: Sequence[_Point], problems: Problems) -> None:
    total = sum(_count(experiment.pipeline, point.values, problems) for point in points)
    if total > MOST_STAGES and not len(problems):
        largest = max(experiment.pipeline, key=lambda entry: _count([entry], points[0].values, problems))
        message = f"the spec unrolls to {total:,} stages; at most {MOST_STAGES:,}"
        problems.add(largest.at, largest.path, message, "too-large", hint="fewer rounds, or fewer points in the sweep")


def _count(entries: Sequence[PipelineEntry], values: Values, problems: Problems) -> int:
    total = 0
    for entry in entries:
        if isinstance(entry, StageEntry):
            total += 1
        else:
            total += _rounds(entry, values, problems) * _count(entry.body, values, problems)
    return total


def _rounds(loop: LoopEntry, values: Values, problems: Problems) -> int:
    """The number of rounds; at least that many where an outer loop's variables tell. Unrolling counts again."""
    repeat = loop.repeat
    if repeat is not None and isinstance(repeat.value, str) and "params." not in repeat.value:
        return 1
    return number_of_rounds(loop, values, problems)


class _Unrolled(NamedTuple):
    scope: Scope
    stages: Sequence[ProgramStage]
    carried: Sequence[tuple[str, ProgramRef]]


def _unroll(experiment: Experiment, points: Sequence[_Point], problems: Problems) -> Sequence[_Unrolled]:
    unrolled: list[_Unrolled] = []
    room = MOST_STAGES
    for point in points:
        unrolled.append(_unroll_point(experiment, point, room, problems))
        room -= len(unrolled[-1].stages)
        if problems.full:
            break
    problems.raise_any()
    return unrolled


def _unroll_point(experiment: Experiment, point: _Point, room: int, problems: Problems) -> _Unrolled:
    pieces = prepare_pieces(experiment.sections, point.values, problems)
    scope = Scope(experiment.pipeline, "", point.values, None, Unroller(problems))
    carried: list[tuple[str, ProgramRef]] = []
    # One more than there is room for is enough to know that there are too many.
    places = list(islice(_walk(experiment.pipeline, scope, point.suffix, carried), room + 1))
    if len(places) > room:
        entry = places[-1][0]
        problems.add(entry.at, entry.path, f"the spec unrolls to more than {MOST_STAGES:,} stages", "too-large")
        problems.raise_any()
    stages: list[ProgramStage] = []
    for entry, where in places:
        if problems.full:
            break
        if experiment.matrix and entry.kind == "report" and where is scope:
            continue
        stage = _stage(entry, where, point.suffix, pieces, problems, experiment.built.get(entry.path))
        assert stage is not None or len(problems), entry.path
        if stage is not None:
            stages.append(stage)
    return _Unrolled(scope, stages, carried)


def _walk(
    entries: Sequence[PipelineEntry], scope: Scope, suffix: str, carried: list[tuple[str, ProgramRef]]
) -> Iterator[tuple[StageEntry, Scope]]:
    for entry in entries:
        if isinstance(entry, StageEntry):
            yield entry, scope
            continue
        loop = scope.loops[entry.name]
        for ref in carried_refs(loop, scope):
            label = f"{ref.label}{suffix}" if ref.label else ref.written
            visible = None if ref.label else tuple(ref.scope.visible())
            carried.append((ref.path, ProgramRef("", label, ref.written, (), ref.at, ref.used, visible)))
        for number in range(1, loop.count + 1):
            body = loop.round(number)
            if body is not None:
                yield from _walk(entry.body, body, suffix, carried)


def _stage(
    entry: StageEntry, scope: Scope, suffix: str, pieces: Pieces, problems: Problems, known: Built | None
) -> ProgramStage | None:
    """`known`: the stage with its refs as written, where that is the same in every round."""
    refs: list[ProgramRef] = []

    def rename(mention: Mention) -> str:
        ref = _ref(mention, scope, suffix)
        refs.append(ref)
        return ref.label

    built = (
        renamed(known, entry.path, problems, rename)
        if known
        else build_stage(entry, scope.values, pieces, problems, rename)
    )
    if built is None:
        return None
    _check_twice(refs, entry, problems)
    label = f"{scope.prefix}{entry.name}{suffix}"
    return ProgramStage(label, built.stage, built.placement, built.pin, entry.path, entry.at, built.tree, tuple(refs))


def _ref(mention: Mention, scope: Scope, suffix: str) -> ProgramRef:
    label = scope.label_of(mention.written)
    visible = None if label else tuple(scope.visible())
    name = f"{label}{suffix}" if label else mention.written
    return ProgramRef(mention.path, name, mention.written, mention.accepts, mention.at, mention.used, visible)


def _check_twice(refs: Sequence[ProgramRef], entry: StageEntry, problems: Problems) -> None:
    """A mapping keyed by refs must not name one stage in two ways: one of its values would be lost."""
    seen: dict[tuple[str, str], ProgramRef] = {}
    for ref in refs:
        if not ref.path.endswith(f".{ref.written}"):
            continue
        key = (ref.path.removesuffix(ref.written), ref.label)
        if key in seen:
            message = f"{ref.written!r} and {seen[key].written!r} are the same stage"
            problems.add(
                ref.at, f"{entry.path}.{ref.path}", message, "duplicate-key", related=((seen[key].at, "also here"),)
            )
        seen[key] = ref


# --- reports gather all points ----------------------------------------------------------------------------------


def _reports(
    experiment: Experiment, scopes: Sequence[Scope], points: Sequence[_Point], problems: Problems
) -> Iterator[ProgramStage]:
    if not experiment.matrix:
        return
    for entry in experiment.pipeline:
        if isinstance(entry, StageEntry) and entry.kind == "report":
            yield from _report(entry, experiment, scopes, points, problems)


def _report(
    entry: StageEntry, experiment: Experiment, scopes: Sequence[Scope], points: Sequence[_Point], problems: Problems
) -> Iterator[ProgramStage]:
    """The report with each ref in its rows and judges replaced by the refs of all points."""
    refs: list[ProgramRef] = []

    def gather(node: Node, path: str, accepts: str) -> list[Scalar]:
        if isinstance(node, Listing):
            return [one for item in node.items for one in gather(item, path, accepts)]
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            return []
        mention = Mention(path, node.value, node.at, node.used, (accepts,))
        found = [_ref(mention, scope, point.suffix) for scope, point in zip(scopes, points, strict=True)]
        refs.extend(found)
        return [node._replace(value=ref.label, text=ref.label) for ref in found]

    pieces = prepare_pieces(experiment.sections, points[0].values, problems)
    entries = dict(entry.tree.entries)
    for field, accepts in (("rows", "evaluation"), ("judges", "examination")):
        named = entries.get(field)
        if named is None or not isinstance(named.value, Table):
            continue
        gathered = {
            title: Entry(
                one.at, Listing(tuple(gather(_put(one.value, points[0]), f"{field}.{title}", accepts)), one.value.at)
            )
            for title, one in named.value.entries.items()
        }
        entries[field] = named._replace(value=named.value._replace(entries=gathered))
    if isinstance(entry.tree.entries["rows"].value, Table):
        tree = entry.tree._replace(entries=entries)
        built = build_stage(StageEntry(entry.name, entry.path, entry.at, tree), points[0].values, pieces, problems)
        if built is not None:
            yield ProgramStage(
                entry.name, built.stage, built.placement, built.pin, entry.path, entry.at, built.tree, tuple(refs)
            )


def _put(node: Node, point: _Point) -> Node:
    from compiler.reading.variables import substitute

    return substitute(node, point.values, Problems(), "")


def _plain_param(node: Node) -> object:
    if isinstance(node, Scalar):
        return node.value
    return tuple(item.value for item in node.items if isinstance(item, Scalar)) if isinstance(node, Listing) else None

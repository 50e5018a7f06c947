"""Pass 4, Program -> StageGraph: edges found in the stages' refs, checked once, then frozen.

    graph = build_graph(program)
    graph.name, len(graph)
    for label in graph.order():               # topological, and as written where the edges leave it open
        graph.stage(label)                    # the ProgramStage: .stage, .placement, .kind, .span, .spans
        graph.inputs(label)                   # ref -> label of the stage that makes it, in the order of its fields
        graph.upstream(label), graph.downstream(label), graph.ancestors(label), graph.descendants(label)
    graph.policy_model(label)                 # ModelSpec of a policy or reward model, from the root of its `init` chain
    graph.policy_tokenizer(label)             # label of the tokenizer stage that it speaks

An edge joins an output with a field that accepts its artifact kind. Then come the questions of `compiler/checks/`:
one tokenizer and shape along each lineage, rows with the fields and in the numbers that are asked for, scores of the
right responses, rewards and verifiers where they are needed, exams that were not learnt from, layouts that divide.
"""

import heapq
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from compiler.artifacts import Kind
from compiler.checks.arithmetic import check_arithmetic
from compiler.checks.claims import check_claims
from compiler.checks.contamination import check_contamination
from compiler.checks.counts import check_counts
from compiler.checks.exports import check_exports
from compiler.checks.lengths import check_lengths
from compiler.checks.lineage import Lineage, check_lineage, trace_lineage
from compiler.checks.rewards import check_rewards
from compiler.checks.rows import check_rows
from compiler.checks.schedules import check_schedules
from compiler.checks.scores import check_scores
from compiler.checks.verifiers import check_verifiers
from compiler.checks.view import View
from compiler.elaborate import Program, ProgramRef, ProgramStage
from compiler.errors import did_you_mean
from compiler.reading.problems import Problems
from compiler.reading.scopes import Visible
from compiler.reading.tree import Place, Scalar
from compiler.schema.model import ModelSpec
from compiler.stages.endpoint import Endpoint

Edges: TypeAlias = Mapping[str, tuple[str, ...]]
"""Label -> the labels at the other end of its edges."""


class StageGraph:
    """The stages of a program and the edges between them; nothing in it changes."""

    def __init__(
        self, program: Program, upstream: Edges, order: Sequence[str], lineages: Mapping[str, Lineage]
    ) -> None:
        self.name = program.name
        self.params = program.params
        self.budget = program.budget
        self._stages = {stage.label: stage for stage in program.stages}
        self._upstream = upstream
        self._downstream = _reversed(upstream)
        self._order = tuple(order)
        self._lineages = lineages

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, label: object) -> bool:
        return label in self._stages

    def order(self) -> Sequence[str]:
        """Every label after those that it needs; as written where that leaves a choice."""
        return self._order

    def stage(self, label: str) -> ProgramStage:
        """The stage of this label."""
        return self._stages[label]

    def inputs(self, label: str) -> Mapping[str, str]:
        """Ref -> label of the stage that makes it, each once, in the order of the stage's fields."""
        return MappingProxyType({ref.label: ref.label for ref in self._stages[label].refs})

    def upstream(self, label: str) -> Sequence[str]:
        """The stages that this one refers to."""
        return self._upstream[label]

    def downstream(self, label: str) -> Sequence[str]:
        """The stages that refer to this one."""
        return self._downstream[label]

    def ancestors(self, label: str) -> frozenset[str]:
        """Everything that this stage rests on."""
        return _reached(label, self._upstream)

    def descendants(self, label: str) -> frozenset[str]:
        """Everything that rests on this stage."""
        return _reached(label, self._downstream)

    def policy_model(self, label: str) -> ModelSpec | None:
        """The shape of the model that this stage makes (a policy or a reward model); None of a served model."""
        lineage = self._lineages.get(label)
        return lineage.model if lineage else None

    def served_model(self, label: str) -> str:
        """What servers call the model of this endpoint stage; empty of other stages."""
        stage = self._stages[label].stage
        return stage.model if isinstance(stage, Endpoint) else ""

    def weight_bytes(self, label: str) -> float:
        """Of one weight of the model that this stage makes: 4 where it was trained in fp32, else 2."""
        precision = getattr(self._stages[label].stage, "precision", None)
        return 4.0 if precision is not None and precision.dtype == "fp32" else 2.0

    def policy_tokenizer(self, label: str) -> str:
        """The label of the tokenizer of the model that this stage makes."""
        return self._lineages[label].tokenizer


def build_graph(program: Program) -> StageGraph:
    """Joins the stages; raises SpecError with every ref and edge that is wrong."""
    problems = Problems()
    stages = {stage.label: stage for stage in program.stages}
    _check_refs(program, stages, problems)
    upstream = _upstream(program, stages)
    order = _order(upstream)
    if len(order) < len(stages):
        # Imported here: networkx takes longer to load than a few hundred stages to compile.
        from compiler.checks.circles import note_circles

        note_circles(upstream, stages, problems)
    problems.raise_any()
    view = View({label: stages[label] for label in order}, problems)
    lineages = trace_lineage(view)
    check_lineage(view, lineages)
    check_rows(view)
    check_counts(view)
    check_lengths(view, lineages)
    check_scores(view)
    check_rewards(view)
    check_verifiers(view)
    check_exports(view, lineages)
    check_contamination(view)
    check_schedules(view)
    check_arithmetic(view, lineages)
    check_claims(view)
    view.name_rounds()
    problems.raise_any()
    return StageGraph(program, upstream, order, lineages)


# --- refs --------------------------------------------------------------------------------------------------------


def _check_refs(program: Program, stages: Mapping[str, ProgramStage], problems: Problems) -> None:
    carried = {ref.at: (path, ref) for path, ref in program.carried}
    for stage in program.stages:
        for ref in stage.refs:
            path = f"{stage.path}.{ref.path}"
            if ref.visible is not None or ref.label not in stages:
                # What a loop carries is wrong where it was written, not where the body uses it.
                where, source = carried.get(ref.at, (path, ref))
                _note_unknown(ref._replace(visible=source.visible or ref.visible), where, problems)
            elif stages[ref.label].stage.makes not in ref.accepts:
                _note_wrong_kind(stage, ref, stages[ref.label], path, problems)
            if problems.full:
                return
    for path, ref in program.carried:
        if ref.visible is not None or ref.label not in stages:
            _note_unknown(ref, path, problems)


def _note_unknown(ref: ProgramRef, path: str, problems: Problems) -> None:
    if problems.is_blamed(_node(ref)):
        return
    if any(one.name == ref.written for one in ref.visible or ()):
        message = f"{ref.written!r} leads back to itself through what loops carry"
        problems.blame(_node(ref), path, message, "cycle", hint="one of the loops must start from a stage")
    else:
        hint = _hint_of_unknown(ref, ref.visible or ())
        problems.blame(_node(ref), path, f"there is no stage {ref.written!r}", "unknown-ref", hint=hint)


def _node(ref: ProgramRef) -> Scalar:
    return Scalar(ref.written, ref.written, ref.at, ref.used)


def _hint_of_unknown(ref: ProgramRef, visible: Sequence[Visible]) -> str:
    inside = [one.name for one in visible if one.name.startswith(f"{ref.written}.")]
    if inside:
        names = _right_kind(visible, ref.accepts, inside) or inside
        return f"{ref.written!r} is a loop: refer to {' or '.join(names[:4])}"
    head, _, rest = ref.written.partition(".")
    if rest and any(one.name == head for one in visible):
        return f"{head!r} makes {next(one.artifact for one in visible if one.name == head)}; write just {head!r}"
    right = _right_kind(visible, ref.accepts, None)
    near = did_you_mean(ref.written, _near(ref.written, right))
    if near.startswith("did you mean"):
        return near
    near = did_you_mean(ref.written, _near(ref.written, [one.name for one in visible]))
    if near.startswith("did you mean"):
        return near
    wanted = " or ".join(ref.accepts)
    if not right:
        return f"no stage makes {wanted}" if wanted else ""
    return f"stages that make {wanted}: {_some(right)}" if wanted else f"choose from {_some(right)}"


def _right_kind(visible: Sequence[Visible], accepts: Sequence[str], among: Sequence[str] | None) -> Sequence[str]:
    names = [one.name for one in visible if not accepts or one.artifact in ("", *accepts)]
    return [name for name in names if name in among] if among is not None else names


def _near(word: str, names: Sequence[str]) -> Sequence[str]:
    """Candidates for a typing mistake; among very many names only those of about the same length."""
    return (
        names
        if len(names) <= 300
        else [name for name in names if abs(len(name) - len(word)) <= 1 and name[:1] == word[:1]][:300]
    )


def _some(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


_INSERT = {
    (Kind.DOCUMENTS, Kind.TOKENS): "insert a tokenize stage",
    (Kind.DOCUMENTS, Kind.TOKENIZER): "insert a tokenizer stage",
    (Kind.DOCUMENTS, Kind.PROMPTS): "insert a prompts stage whose generator is closed_qa",
    (Kind.DOCUMENTS, Kind.DIALOGUES): "documents are for pretraining; sft learns from dialogues",
    (Kind.TOPICS, Kind.PROMPTS): "insert a prompts stage whose generator is open_qa or writing",
    (Kind.ENDPOINT, Kind.POLICY): "a served model has no weights here: it can answer, but not be trained",
    (Kind.POLICY, Kind.CHECKPOINT): "insert an export stage",
    (Kind.RATINGS, Kind.PREFERENCES): "ratings teach a reward model; preferences come from judge and pair stages",
    (Kind.RATINGS, Kind.DIALOGUES): "ratings teach a reward model; sft learns from dialogues",
    (Kind.PROMPTS, Kind.RESPONSES): "insert a generate stage",
    (Kind.PROMPTS, Kind.DIALOGUES): "insert an annotate stage (or generate, judge and filter stages)",
    (Kind.PROMPTS, Kind.SCORES): "insert generate and judge stages",
    (Kind.PROMPTS, Kind.PREFERENCES): "insert generate, judge and pair stages",
    (Kind.PROMPTS, Kind.TOKENS): "insert annotate and tokenize stages",
    (Kind.DIALOGUES, Kind.TOKENS): "insert a tokenize stage",
    (Kind.DIALOGUES, Kind.PREFERENCES): "preferences come from responses: insert judge and pair stages",
    (Kind.DIALOGUES, Kind.TOKENIZER): "insert a tokenizer stage",
    (Kind.DIALOGUES, Kind.PROMPTS): "name the prompts stage that it was made from",
    (Kind.RESPONSES, Kind.SCORES): "insert a judge stage",
    (Kind.RESPONSES, Kind.PREFERENCES): "insert judge and pair stages",
    (Kind.RESPONSES, Kind.DIALOGUES): "insert judge and filter stages",
    (Kind.SCORES, Kind.PREFERENCES): "insert a pair stage",
    (Kind.SCORES, Kind.DIALOGUES): "insert a filter stage",
    (Kind.SCORES, Kind.RESPONSES): "name the responses that were scored",
    (Kind.SCORES, Kind.REWARD_MODEL): "insert a reward_model stage that learns these scores",
    (Kind.PREFERENCES, Kind.DIALOGUES): "a prefer stage learns from preferences; for sft insert a filter stage",
    (Kind.POLICY, Kind.EVALUATION): "insert an evaluate stage",
    (Kind.EXAMINATION, Kind.EVALUATION): "an examination is a judge's: name it under the report's `judges`",
    (Kind.EVALUATION, Kind.EXAMINATION): "an evaluation is a policy's: name it under the report's `rows`",
    (Kind.POLICY, Kind.REWARD_MODEL): "insert a reward_model stage",
    (Kind.POLICY, Kind.RESPONSES): "insert a generate stage",
    (Kind.POLICY, Kind.TOKENIZER): "name the tokenizer stage that the policy was made with",
    (Kind.TOKENIZER, Kind.TOKENS): "insert a tokenize stage",
    (Kind.TOKENS, Kind.POLICY): "insert a pretrain stage",
    (Kind.TOKENS, Kind.DIALOGUES): "name the dialogues that were tokenized",
    (Kind.REWARD_MODEL, Kind.POLICY): "a reward model writes no text: name the policy",
    (Kind.REWARD_MODEL, Kind.SCORES): "insert a judge stage whose judge is this reward model",
}
"""(what was given, what is needed) -> what to do."""


def _note_wrong_kind(stage: ProgramStage, ref: ProgramRef, given: ProgramStage, path: str, problems: Problems) -> None:
    made = given.stage.makes
    needs = " or ".join(_with_article(kind) for kind in ref.accepts)
    message = f"needs {needs}, but {ref.written!r} makes {_with_article(made)}"
    hint = next((_INSERT[made, Kind(kind)] for kind in ref.accepts if (made, Kind(kind)) in _INSERT), "")
    related: tuple[tuple[Place, str], ...] = ((given.at, f"{ref.written!r}, of kind {given.kind}"),)
    problems.blame(_node(ref), path, message, "wrong-artifact", hint=hint, related=related)


def _with_article(kind: str) -> str:
    if kind in _PLURAL:
        return kind
    return f"{'an' if kind[0] in 'ae' else 'a'} {kind.replace('_', ' ')}"


_PLURAL = frozenset(
    {
        "documents",
        "topics",
        "prompts",
        "dialogues",
        "responses",
        "scores",
        "ratings",
        "preferences",
        "tokens",
    }
)


# --- edges -------------------------------------------------------------------------------------------------------


def _upstream(program: Program, stages: Mapping[str, ProgramStage]) -> Edges:
    return {
        stage.label: tuple(dict.fromkeys(ref.label for ref in stage.refs if ref.label in stages))
        for stage in program.stages
    }


def _reversed(edges: Edges) -> Edges:
    found: dict[str, list[str]] = {label: [] for label in edges}
    for label, others in edges.items():
        for other in others:
            found[other].append(label)
    return {label: tuple(others) for label, others in found.items()}


def _reached(label: str, edges: Edges) -> frozenset[str]:
    found: set[str] = set()
    waiting = [label]
    while waiting:
        new = set(edges[waiting.pop()]) - found
        found |= new
        waiting += new
    return frozenset(found)


def _order(upstream: Edges) -> Sequence[str]:
    """Of the stages whose inputs are all there, always the one that was written first; circles are left out."""
    written = list(upstream)
    number = {label: index for index, label in enumerate(written)}
    missing = {label: len(needs) for label, needs in upstream.items()}
    downstream = _reversed(upstream)
    ready = [number[label] for label, count in missing.items() if count == 0]
    order = []
    while ready:
        label = written[heapq.heappop(ready)]
        order.append(label)
        for after in downstream[label]:
            missing[after] -= 1
            if missing[after] == 0:
                heapq.heappush(ready, number[after])
    return order

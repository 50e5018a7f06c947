"""code: genetic instruct, a population of programming problems with solutions that grows from seeds."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from math import ceil
from pathlib import Path

from compiler.artifacts import DialogueRow, Message, PromptRow, ResponseRow
from compiler.schema.judges import LLMGrade
from compiler.schema.sampling import Sampling
from compiler.stages.code import Code
from runtime.asking import Asker, Question, Rejected, question
from runtime.clients.open import open_model
from runtime.colonies import Child, Colony, breed, joined
from runtime.context import Context, Facts
from runtime.judged import Opinion
from runtime.rows import messages_id, read_rows, write_rows
from runtime.verifiers.unit_tests import blocks, runs

KNOWN, NO_PROGRAM, FAILS = "problem known to its colony", "no program", "program that does not run"
UNFIT, SILENT, DUPLICATE = "unfit", "fitness unknown", "duplicate of another colony's"
_FEWEST, _MOST = 4, 512
"""Children of a colony in one generation."""


@dataclass(frozen=True)
class Solved:
    """A new problem and what the coder made of it."""

    colony: int
    problem: str
    solution: str


def run(stage: Code, ctx: Context) -> Facts:
    """Breeds generation by generation until there are enough; facts: rows, generations, rejects by reason."""
    descent: dict[str, tuple[str, ...]] = {
        row.messages[-1].content: (row.id,) for row in read_rows(ctx.input(stage.seeds), PromptRow)
    }
    """Problem -> ids of the seeds that it descends from."""
    colonies = [Colony(number, tuple(descent)) for number in range(stage.colonies)]
    fit: list[Solved] = []
    told: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    generation = 0
    while len(fit) < stage.count and generation < stage.max_generations:
        each = min(_MOST, max(_FEWEST, ceil((stage.count - len(fit)) / stage.colonies)))
        children = [
            child
            for colony in colonies
            for child in breed(
                colony,
                {str(name): weight for name, weight in stage.operators.items()},
                parents=stage.parents,
                count=each,
                generation=generation,
                seed=stage.seed,
            )
        ]
        told["bred"] += len(children)
        born = _born(stage, ctx, colonies, children, generation, rejected)
        told["written"] += len(born)
        for child, problem in born:
            seeds = (seed for parent in child.parents for seed in descent[parent])
            descent.setdefault(problem, tuple(dict.fromkeys(seeds)))
        solved = _solved(stage, ctx, born, generation, rejected)
        told["solved"] += len(solved)
        found = _fit(stage, ctx, solved, generation, rejected)
        fit += found
        colonies = [
            replace(colony, problems=(*colony.problems, *(one.problem for one in found if one.colony == colony.number)))
            for colony in colonies
        ]
        generation += 1
    kept = [fit[number] for number in joined([one.problem for one in fit])]
    rejected[DUPLICATE] += len(fit) - len(kept)
    rows = [_row(one, descent[one.problem]) for one in kept[: stage.count]]
    if not rows:
        raise ValueError(f"none of {told['bred']} problems that were bred is fit: {dict(+rejected)}")
    if ctx.rank == 0:
        write_rows(ctx.output, rows)
    rejected["more than count"] += len(kept) - len(rows)
    return {
        "rows": len(rows),
        "generations": generation,
        "rejected": {reason: count for reason, count in sorted(rejected.items()) if count},
        "waterfall": [
            {"name": "bred", "rows": told["bred"]},
            {"name": "new problems", "rows": told["written"]},
            {"name": "solved by a program that runs", "rows": told["solved"]},
            {"name": "fit", "rows": len(fit)},
            {"name": "distinct over the colonies", "rows": len(kept)},
            {"name": "kept", "rows": len(rows)},
        ],
    }


def _born(
    stage: Code, ctx: Context, colonies: Sequence[Colony], children: Sequence[Child], number: int, why: Counter[str]
) -> list[tuple[Child, str]]:
    """Each child that says something new to its colony, and what it says."""
    asked = [child.asked for child in children]
    answers = _ask(stage.instructor, stage.instructor_sampling, stage.seed, asked, f"problems-{number}", ctx)
    growing = {colony.number: colony for colony in colonies}
    found: list[tuple[Child, str]] = []
    for child, said in zip(children, answers, strict=True):
        colony = growing[child.colony]
        if isinstance(said, Rejected):
            why[said.reason] += 1
        elif colony.knows(said):
            why[KNOWN] += 1
        else:
            growing[child.colony] = replace(colony, problems=(*colony.problems, said))
            found.append((child, said))
    return found


def _solved(
    stage: Code, ctx: Context, born: Sequence[tuple[Child, str]], number: int, why: Counter[str]
) -> list[Solved]:
    """The coder's answer to each, where it is a program that can be started (in a sandbox) without an error."""
    asked = [
        question(f"{number}-{place}", "prompts/code_solution.j2", problem=problem)
        for place, (_, problem) in enumerate(born)
    ]
    answers = _ask(stage.coder, stage.coder_sampling, stage.seed, asked, f"solutions-{number}", ctx)
    # Each program is a process of its own, so threads are enough to run some side by side.
    with ThreadPoolExecutor(ctx.placement.threads) as pool:
        reasons = list(pool.map(_why_not, answers))
    found = []
    for (child, problem), said, reason in zip(born, answers, reasons, strict=True):
        if reason:
            why[reason] += 1
        elif isinstance(said, str):
            found.append(Solved(child.colony, problem, said))
    return found


def _why_not(solution: str | Rejected) -> str:
    if isinstance(solution, Rejected):
        return solution.reason
    found = blocks(solution)
    if not found:
        return NO_PROGRAM
    language, code = max(found, key=lambda block: len(block[1]))
    return FAILS if language in ("", "python", "python3", "py") and not runs(code) else ""


def _fit(stage: Code, ctx: Context, solved: Sequence[Solved], number: int, why: Counter[str]) -> list[Solved]:
    """Those that the judge takes for right: of grades the upper half, of rewards what is above zero."""
    if not solved:
        return []
    rows = [_response(one, place) for place, one in enumerate(solved)]
    judge = import_module(f"runtime.judges.{stage.fitness.kind}").judge
    opinion: Opinion = judge(stage.fitness, rows, _within(ctx, f"fitness-{number}"))
    least = (1 + stage.fitness.highest) / 2 if isinstance(stage.fitness, LLMGrade) else 0.0
    found = []
    for one, score in zip(solved, opinion.scores, strict=True):
        # What ground truth cannot check has been started at least.
        if score.score is None and stage.fitness.kind != "ground_truth":
            why[SILENT] += 1
        elif score.score is not None and score.score <= least:
            why[UNFIT] += 1
        else:
            found.append(one)
    return found


def _ask(
    ref: str, sampling: Sampling, seed: int, questions: Sequence[Question], ledger: str, ctx: Context
) -> list[str | Rejected]:
    """Models are opened one after the other, so that several need no more memory than the largest."""
    with open_model(ref, ctx) as model:
        return list(Asker(model, sampling, seed).ask(questions, ledger))


def _within(ctx: Context, name: str) -> Context:
    """The same stage with a scratch of its own: a judge that is asked again must not find what it said before."""
    scratch = Path(ctx.manifest.scratch) / name
    scratch.mkdir(parents=True, exist_ok=True)
    return replace(ctx, manifest=ctx.manifest.model_copy(update={"scratch": str(scratch)}))


def _response(one: Solved, place: int) -> ResponseRow:
    messages = (Message(role="user", content=one.problem),)
    name = messages_id(messages)
    return ResponseRow(
        id=f"{name}-{place}",
        prompt_id=f"{name}-{place}",
        family="code",
        messages=messages,
        response=one.solution,
        response_ids=None,
        finished=True,
        logprob=None,
    )


def _row(one: Solved, seeds: tuple[str, ...]) -> DialogueRow:
    """`seeds`: ids of the prompts that its problem descends from."""
    asked = (Message(role="user", content=one.problem),)
    messages = (*asked, Message(role="assistant", content=one.solution))
    return DialogueRow(
        id=messages_id(messages),
        prompt_id=messages_id(asked),
        family="code",
        messages=messages,
        origin="model",
        made_from=seeds,
    )

"""judge: one score for each response, by the judge of this kind."""

from importlib import import_module
from statistics import fmean

from compiler.artifacts import ResponseRow
from compiler.stages.judge import Judge
from runtime.context import Context, Facts
from runtime.judged import Opinion
from runtime.rows import read_rows, write_rows


def run(stage: Judge, ctx: Context) -> Facts:
    """Scores the responses; facts: rows judged and passed over, mean score by family. A share raises ShareDoneError."""
    rows = list(read_rows(ctx.input(stage.responses), ResponseRow))
    opinion: Opinion = import_module(f"runtime.judges.{stage.judge.kind}").judge(stage.judge, rows, ctx)
    if ctx.rank == 0:
        write_rows(ctx.output, opinion.scores)
    by_family: dict[str, list[float]] = {}
    for row, score in zip(rows, opinion.scores, strict=True):
        if score.score is not None:
            by_family.setdefault(row.family, []).append(score.score)
    judged = sum(len(values) for values in by_family.values())
    return {
        "judge": stage.judge.kind,
        "rows": len(rows),
        "judged": judged,
        "silent": len(rows) - judged,
        "mean_score": {family: fmean(values) for family, values in sorted(by_family.items())},
        **opinion.facts,
    }

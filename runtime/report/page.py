"""`report.json` to `report.html`: the numbers with their charts, handed to the templates."""

from collections.abc import Mapping, Sequence
from typing import Any

from compiler.render import render
from runtime.ladder import DECODINGS
from runtime.report import charts, words

TEMPLATE = "reports/report.html.j2"
_GANTT_LEAST = 2
"""Stages that a run must have made for a chart of its own."""


def html(report: Mapping[str, Any]) -> str:
    """The page: one file that asks nothing of the network."""
    curves = report["curves"]
    return render(
        TEMPLATE,
        report=report,
        words=words,
        decodings=DECODINGS,
        families=sorted({family for row in report["rows"] for family in row["families"]}),
        failed=[claim for claim in report["claims"] if not claim["holds"]],
        has_rewards=any(row["reward"] is not None for row in report["rows"]),
        has_grades=any(row["grade"] is not None for row in report["rows"]),
        sweep=any(row["points"] > 1 for row in report["rows"]),
        one_reward_model=_one_reward_model(report["rows"]),
        ladder_chart=charts.ladder_chart(report["rows"]),
        family_charts={
            family: charts.family_chart(family, report["rows"])
            for family in report["held_out"]["families"]
            if any(charts.checked(row, family) for row in report["rows"])
        },
        claim_chart=charts.claim_chart(report["claims"]),
        loss_charts=[charts.loss_chart(curve) for curve in curves],
        shift_charts=[charts.shift_chart(curve) for curve in curves],
        run_charts=[(run, charts.run_chart(run)) for run in report["time"]["runs"] if len(run["bars"]) >= _GANTT_LEAST],
        judged_families=sorted({family for judge in report["data"]["judges"] for family in judge["mean_score"]}),
        examined_families=sorted({family for one in report["data"]["examinations"] for family in one["families"]}),
        calibrated_families=sorted({family for one in report["data"]["reward_models"] for family in one["families"]}),
    )


def _one_reward_model(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all rewards of a point were given by the same reward model; others cannot be compared."""
    by_point: dict[str, set[str]] = {}
    for row in rows:
        for one in row["evaluations"]:
            by_point.setdefault(one["point"], set()).add(one["reward_model"])
    return all(len(models) == 1 for models in by_point.values())

"""report: the ladder, its claims and everything they stand on, as one HTML file and as JSON.

`report.json` (shares are numbers from 0 to 1; an interval is `low`, `high`, 95 %):

    format      1
    title
    held_out    {prompts, families: {family: prompts}}, over all evaluations
    rows        [{title, points, overall: {greedy, sampled}, families: {family: {greedy, sampled}},
                  reward, grade: {mean, low, high, prompts} | null, mean_tokens, finished (all of greedy answers),
                  gain: {over, continues, why_not, greedy, sampled: {difference, low, high} | null} | null,
                  evaluations: [{label, point, fingerprint, policy, reward_model, greedy, sampled}]}]
                where greedy and sampled are {accuracy, low, high, passed, checked, prompts, mean_tokens, finished,
                reward, grade}; accuracy is over the prompts `checked` by programs, and null where there are none;
                and in `overall` also {spread: {mean, min, max, sd} | null} over the points of a sweep.
                `points` counts distinct evaluations; `continues`: the weights were trained from the row before.
    claims      [{better, worse, decoding, difference, low, high, holds, prompts,
                  points: [{point, difference, low, high}]}]
    curves      [{stage, kind, loss, phases, lines: [{point, label, fingerprint, steps, tokens, first_loss, last_loss,
                  steps_without_finite_loss, peak_learning_rate, greatest_grad_norm, last_metrics,
                  loss: [{step, mean, low, high}], shifts}]}]
    samples     [{family, counts: {gained, lost, right in both, wrong in both},
                  prompts: [{id, prompt, change,
                             answers: {row title: {greedy, sampled: {response, passed, finished}} | null}}]}]
    synthetic   {share, rows_synthetic, rows_human, with_ratings, rows_rated, share_of_nemotron4_340b,
                  sets: [{data, kind, used_by, synthetic, human}]}
    overlap     {held_out, found, sets: [{label, prompts, held_out}]}
    data        {pipeline: [{name: prompts | answers, steps: [{name, rows}]}],
                  waterfalls: [{stage, kind, points, steps: [{name, rows}], rejected: {reason: rows}}],
                  sources, reward_models, judges, agreements: [{label, judges, share, low, high, pairs}],
                  examinations: [{judge, label, pairs, right, wrong, tie, silent, accuracy, low, high, credited,
                                  for_the_longer, mean_of_families, families: {family: the same},
                                  not_above_chance: [family], comparisons}]}
    time        {totals, by_kind, runs}
    stages      [{label, kind, fingerprint, needs, planned_s, wall_s, start_up_s, cpu_s, peak_rss_bytes, ...}], upstream
                of the report, inputs before users
    missing     labels of artifacts upstream that are no longer in the store
    provenance  {fingerprint, rung: versions that made the artifacts, format}

Both files are a function of the inputs and of what is sealed upstream of them: no clock, no host. Times are those that
the inputs' records tell.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from compiler.stages.report import Report
from runtime import ladder
from runtime.context import Context, Facts
from runtime.ladder import Evaluation
from runtime.report import curves, data, page, samples, times
from runtime.report.lineage import Lineage, Made, read_lines, trace
from runtime.report.pipeline import pipeline
from runtime.rows import FILE

HTML, JSON = "report.html", "report.json"
FORMAT = 1


def run(stage: Report, ctx: Context) -> Facts:
    """Writes both files; facts: how many rows, which claims hold, the share of synthetic data."""
    labels = list(dict.fromkeys(label for row in stage.rows.values() for label in _labels(row)))
    examined = list(dict.fromkeys(label for row in stage.judges.values() for label in _labels(row)))
    lineage = trace({label: ctx.input(label) for label in (*labels, *examined)})
    found = {label: _evaluation(label, ctx, lineage) for label in labels}
    rows = {title: tuple(found[label] for label in _labels(row)) for title, row in stage.rows.items()}
    inputs = ctx.manifest.inputs
    judges = {title: [inputs[label].fingerprint for label in _labels(row)] for title, row in stage.judges.items()}
    report = _report(stage, rows, judges, lineage, ctx.manifest.fingerprint)
    if ctx.rank == 0:
        text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
        (ctx.output / JSON).write_text(text + "\n", encoding="utf-8")
        (ctx.output / HTML).write_text(page.html(report), encoding="utf-8")
    return {
        "rows": len(report["rows"]),
        "claims": len(report["claims"]),
        "claims_that_hold": sum(claim["holds"] for claim in report["claims"]),
        "synthetic_share": report["synthetic"]["share"],
        "held_out_prompts_learnt_from": report["overlap"]["found"],
    }


def _report(
    stage: Report,
    rows: Mapping[str, tuple[Evaluation, ...]],
    judges: Mapping[str, Sequence[str]],
    lineage: Lineage,
    fingerprint: str,
) -> dict[str, Any]:
    held_out = {question.id: question.family for ones in rows.values() for one in ones for question in one.questions}
    upstream = times.stages(lineage)
    return {
        "format": FORMAT,
        "title": stage.title,
        "held_out": _held_out(held_out),
        "rows": ladder.ladder(rows, lineage.starts_from),
        "claims": [ladder.claim(claim.better, claim.worse, claim.decoding, rows) for claim in stage.claims],
        "curves": curves.curves(lineage),
        "samples": samples.samples(rows),
        "synthetic": data.synthetic(lineage),
        "overlap": data.overlap(lineage, frozenset(held_out)),
        "data": {
            "pipeline": pipeline(lineage),
            "waterfalls": data.waterfalls(lineage),
            "sources": data.sources(lineage),
            "reward_models": data.reward_models(lineage),
            "judges": data.judges(lineage),
            "agreements": [*data.agreements(lineage), *data.agreements_on_labels(judges, lineage)],
            "examinations": data.examinations(judges, lineage),
        },
        "time": {"totals": times.totals(upstream), "by_kind": times.by_kind(upstream), "runs": times.runs(upstream)},
        "stages": upstream,
        "missing": list(lineage.missing),
        "provenance": {
            "fingerprint": fingerprint,
            "rung": sorted({one["rung"] for one in upstream if one["rung"]}),
            "format": FORMAT,
        },
    }


def _labels(row: str | tuple[str, ...]) -> tuple[str, ...]:
    return (row,) if isinstance(row, str) else row


def _held_out(families: Mapping[str, str]) -> dict[str, Any]:
    counts = {family: sum(one == family for one in families.values()) for family in sorted(set(families.values()))}
    return {"prompts": len(families), "families": counts}


def _evaluation(label: str, ctx: Context, lineage: Lineage) -> Evaluation:
    made: Made = lineage.by_fingerprint[ctx.manifest.inputs[label].fingerprint]
    judge = made.record.stage.get("reward") or {}
    return ladder.evaluation(
        label,
        made.fingerprint,
        read_lines(made.folder, FILE),
        policy=str(made.record.stage["policy"]),
        reward_model=str(judge.get("model", "")),
    )

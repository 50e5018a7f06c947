"""mix: one set of rows out of several, in stated shares."""

import random
from collections import Counter

from compiler.stages.mix import Mix
from runtime.context import Context, Facts
from runtime.generators.quotas import quotas
from runtime.row_kinds import AnyRow, key_of, rows_of
from runtime.rows import write_rows


def run(stage: Mix, ctx: Context) -> Facts:
    """Draws without repetition; a row that several sources have is taken from one of them."""
    sources = _by_fingerprint(stage, ctx)
    weights = {fingerprint: sum(stage.data[label] for label in labels) for fingerprint, labels in sources.items()}
    wanted = quotas(weights, stage.count)
    taken: dict[str, AnyRow] = {}
    drawn: dict[str, int] = {}
    short: list[str] = []
    for fingerprint, labels in sources.items():
        found = {key_of(row): row for row in rows_of(stage.rows, ctx.input(labels[0]))}
        rows = {key: row for key, row in found.items() if key not in taken}
        quota = wanted[fingerprint]
        if len(rows) < quota:
            has = f"{len(rows)} distinct {stage.rows} (not taken from another source)"
            short.append(f"{labels[0]} has {has}, not {quota}")
            continue
        chosen = random.Random(f"{stage.seed}/{fingerprint}").sample(list(rows.items()), quota)
        taken.update(chosen)
        drawn[labels[0]] = quota
    if short:
        raise ValueError(f"to mix {stage.count} {stage.rows} without repetition: {'; '.join(short)}")
    mixed = list(taken.values())
    random.Random(f"{stage.seed}/order").shuffle(mixed)
    write_rows(ctx.output, mixed)
    origins = Counter(getattr(row, "origin", "") for row in mixed)
    return {"rows": len(mixed), "rows_by_source": drawn, "rows_by_origin": dict(sorted(origins.items()))}


def _by_fingerprint(stage: Mix, ctx: Context) -> dict[str, list[str]]:
    """Fingerprint -> labels of that artifact, in the order of fingerprints: labels must not shape the result."""
    sources: dict[str, list[str]] = {}
    for label in sorted(stage.data):
        sources.setdefault(ctx.manifest.inputs[label].fingerprint, []).append(label)
    return dict(sorted(sources.items()))

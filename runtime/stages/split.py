"""split: the rows whose prompts belong to some parts of a split."""

from collections import Counter
from collections.abc import Iterator

from compiler.stages.split import Split
from runtime.context import Context, Facts
from runtime.row_kinds import AnyRow, asked_in, rows_of
from runtime.rows import write_rows
from runtime.splits import part_of

NO_PART = "of no part"


def run(stage: Split, ctx: Context) -> Facts:
    """Facts: rows kept, and rows of every other part."""
    unknown = sorted(set(stage.parts) - set(stage.split.shares))
    if unknown:
        raise ValueError(f"the split has no part {', '.join(unknown)}; it has {', '.join(sorted(stage.split.shares))}")
    parts: Counter[str] = Counter()
    rows = write_rows(ctx.output, _kept(stage, ctx, parts))
    others = {name: count for name, count in sorted(parts.items()) if name not in stage.parts}
    return {
        "rows": rows,
        "rows_by_part": {name: parts[name] for name in sorted(stage.parts)},
        "rejected": {name if name == NO_PART else f"of the part {name}": count for name, count in others.items()},
        "waterfall": [{"name": stage.rows, "rows": parts.total()}, {"name": "of a wanted part", "rows": rows}],
    }


def _kept(stage: Split, ctx: Context, parts: Counter[str]) -> Iterator[AnyRow]:
    for row in rows_of(stage.rows, ctx.input(stage.data)):
        part = part_of(stage.split, asked_in(row))
        parts[part or NO_PART] += 1
        if part in stage.parts:
            yield row

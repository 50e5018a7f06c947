"""select: the rows that meet every condition; the others are counted with the reason."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from compiler.artifacts import PromptRow, RatingRow
from compiler.schema.conditions import Attributes, Condition, Flags, Language, Length
from compiler.stages.select import Select
from runtime.context import Context, Facts
from runtime.instructions.language import is_in
from runtime.row_kinds import AnyRow, parts_of, rows_of
from runtime.rows import write_rows


def run(stage: Select, ctx: Context) -> Facts:
    """Facts: rows kept; rows rejected by reason; how many each condition, asked in order, leaves."""
    failed: Counter[int] = Counter()
    rejected: Counter[str] = Counter()
    rows = write_rows(ctx.output, _kept(stage, ctx, failed, rejected))
    left = rows + failed.total()
    waterfall: list[dict[str, Any]] = [{"name": stage.rows, "rows": left}]
    for number, condition in enumerate(stage.conditions):
        left -= failed[number]
        waterfall.append({"name": condition.kind, "rows": left})
    return {"rows": rows, "rejected": dict(sorted(rejected.items())), "waterfall": waterfall}


def _kept(stage: Select, ctx: Context, failed: Counter[int], rejected: Counter[str]) -> Iterator[AnyRow]:
    for row in rows_of(stage.rows, ctx.input(stage.data)):
        for number, condition in enumerate(stage.conditions):
            reason = why_not(condition, row)
            if reason:
                failed[number] += 1
                rejected[reason] += 1
                break
        else:
            yield row


def why_not(condition: Condition, row: AnyRow) -> str:
    """Why the row fails the condition; empty where it meets it."""
    match condition:
        case Length():
            size = sum(map(len, parts_of(row)))
            if size < condition.at_least:
                return f"shorter than {condition.at_least} characters"
            return f"longer than {condition.at_most} characters" if size > condition.at_most else ""
        case Language():
            text = "\n".join(parts_of(row))
            return "" if any(is_in(text, language) for language in condition.languages) else "in another language"
        case Flags():
            flags = row.flags if isinstance(row, PromptRow) else ()
            return next((f"flagged {flag}" for flag in condition.without if flag in flags), "")
        case Attributes():
            given = row.attributes if isinstance(row, RatingRow) else {}
            low = (name for name, least in sorted(condition.at_least.items()) if given.get(name, least - 1) < least)
            name = next(low, "")
            return name and (f"{name} below {condition.at_least[name]:g}" if name in given else f"without {name}")

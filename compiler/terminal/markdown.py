"""A plan for a pull request, in the Markdown that GitHub draws: sums first, the long tables folded."""

from collections.abc import Iterator, Sequence

from compiler.draw.mermaid import draw_mermaid
from compiler.draw.picture import make_picture
from compiler.plan import Plan
from compiler.review.warnings import warnings
from compiler.terminal.listing import Listing, by_kind, listed
from compiler.terminal.tables import budget_words, longest_chain
from compiler.words import duration

_MOST_ROWS = 300
"""A comment on GitHub holds 65,536 letters."""
_MOST_BOXES = 60
_MOST_ARROWS = 400
"""GitHub draws no more than 500."""


def plan_markdown(plan: Plan) -> str:
    """Headline, sums, warnings, sums of each kind; folded: every stage with its reason, and the picture."""
    return "\n".join(_lines(plan))


def _lines(plan: Plan) -> Iterator[str]:
    running, kept = len(plan.to_run), len(plan.stages) - len(plan.to_run)
    yield f"### Plan of `{plan.name}` on {_escaped(plan.cluster.name)}"
    yield ""
    yield f"**{running:,} to run, {kept:,} reused**" + "".join(f" · {part}" for part in _sums(plan))
    yield ""
    if plan.critical:
        yield f"{_escaped(longest_chain(plan)).capitalize()}"
        yield ""
    if plan.allowances:
        yield f"Of the budget: {budget_words(plan)}"
        yield ""
    told = list(warnings(plan))
    if told:
        yield "> [!NOTE]"
        yield from (f"> - {_escaped(warning)}" for warning in told)
        yield ""
    if running:
        yield from _table(by_kind(plan))
        yield ""
    yield from _folded(f"Every stage and why ({len(plan.stages):,})", _stages(plan))
    if len(plan.stages) <= _MOST_BOXES:
        picture = make_picture(plan.name, ((stage.label, stage.kind, stage.needs) for stage in plan.stages))
        if sum(1 for _ in picture.edges) <= _MOST_ARROWS:
            yield from _folded("Picture", ["```mermaid", draw_mermaid(picture), "```"])


def _sums(plan: Plan) -> Iterator[str]:
    if not plan.to_run:
        return
    yield f"about {duration(plan.wall_s)}"
    if plan.cluster.gpu is not None:
        yield f"{plan.cluster.num_gpus:,} of {_escaped(plan.cluster.gpu.name)}"
        yield f"{plan.gpu_hours:,.0f} GPU-hours"
    else:
        yield f"{duration(3600 * plan.core_hours)} of core time on {plan.cores} cores"
    if plan.price >= 1:
        yield f"cost {plan.price:,.0f}"


def _stages(plan: Plan) -> Iterator[str]:
    listing = listed(plan, most=_MOST_ROWS)
    yield from _table(listing)
    if listing.left_out:
        yield ""
        yield f"and {listing.left_out:,} stages more."


def _table(listing: Listing) -> Iterator[str]:
    yield _row([column.name for column in listing.columns])
    yield _row(["--:" if column.right else ":--" for column in listing.columns])
    names = [column.name for column in listing.columns]
    for row in listing.rows:
        yield _row([f"`{cell}`" if name == "stage" else cell for name, cell in zip(names, row.cells, strict=True)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell if cell.startswith('`') else _escaped(cell) for cell in cells)} |"


def _folded(title: str, lines: Iterator[str] | Sequence[str]) -> Iterator[str]:
    yield from ("<details>", f"<summary>{title}</summary>", "")
    yield from lines
    yield from ("", "</details>", "")


def _escaped(text: str) -> str:
    """Letters that Markdown or its tables would take for their own."""
    for letter in "\\|*_<>`[]~":
        text = text.replace(letter, f"\\{letter}")
    return text

"""self_prompted: a policy writes user turns by itself; what is not a well-formed task of a wanted part is rejected.

This is the text side. Sampling is given as a function, so that nothing here knows of models.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from compiler.artifacts import PromptRow
from compiler.schema.data import Split
from compiler.schema.generators import SelfPrompted
from runtime.asking import Rejected
from runtime.generators.quotas import quotas
from runtime.generators.tasks import task_row
from runtime.splits import part_of
from runtime.tasks import FAMILIES, find
from runtime.written import DUPLICATE, HELD_OUT

MALFORMED, UNWANTED_FAMILY, FAMILY_FULL = "malformed", "unwanted family", "family full"

Sample = Callable[[int, int], Sequence[str]]
"""(n, start_index) -> n user turns; turn i is a function of i alone, not of how the turns are batched."""


@dataclass(frozen=True)
class Collected:
    """What came of sampling."""

    rows: tuple[PromptRow, ...]
    attempts: int
    """Turns looked at, up to the one that completed the rows."""
    rejected: Mapping[str, int]
    """Reason -> how many."""


def read(text: str, *, families: Collection[str], split: Split, parts: Collection[str]) -> PromptRow | Rejected:
    """The prompt that this text is, or why it is none."""
    family = next((name for name in FAMILIES if find(name).parse(text) is not None), None)
    if family is None:
        return Rejected(MALFORMED)
    if family not in families:
        return Rejected(UNWANTED_FAMILY)
    if part_of(split, text) not in parts:
        return Rejected(HELD_OUT)
    return task_row(family, text, "self_prompted")


def collect(
    spec: SelfPrompted, *, count: int, split: Split, parts: Collection[str], sample: Sample, batch: int = 256
) -> Collected:
    """Samples until each family has its share of `count`, or the attempts are used up."""
    by_name: dict[str, float] = {str(family): weight for family, weight in spec.families.items()}
    missing = {family: quota for family, quota in quotas(by_name, count).items() if quota}
    rows: dict[str, PromptRow] = {}
    rejected: Counter[str] = Counter()
    attempts = 0
    while missing and attempts < spec.max_attempts:
        for text in sample(min(batch, spec.max_attempts - attempts), attempts):
            attempts += 1
            found = read(text, families=spec.families, split=split, parts=parts)
            reason = found.reason if isinstance(found, Rejected) else _why_not_kept(found, rows, missing)
            if isinstance(found, Rejected) or reason:
                rejected[reason] += 1
                continue
            rows[found.id] = found
            missing[found.family] -= 1
            if not missing[found.family]:
                del missing[found.family]
            if not missing:
                break
    return Collected(tuple(rows.values()), attempts, dict(sorted(rejected.items())))


def _why_not_kept(row: PromptRow, rows: Mapping[str, PromptRow], missing: Mapping[str, int]) -> str:
    if row.id in rows:
        return DUPLICATE
    return "" if row.family in missing else FAMILY_FULL

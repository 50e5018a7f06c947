"""dedup: each row once, and none that an evaluation asks."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from compiler.artifacts import PromptRow
from compiler.stages.dedup import Decontamination, Dedup, NearDuplicates
from runtime.context import Context, Facts
from runtime.row_kinds import AnyRow, asked_in, parts_of, plain, rows_of, words_of
from runtime.rows import read_rows, write_rows

EXACT, NEAR, CONTAMINATED = "exact duplicate", "near duplicate", "asked by an evaluation"

Look = Callable[[AnyRow], bool]
"""Whether the row is to be dropped. It may remember rows: it is asked once for each, in order."""


def run(stage: Dedup, ctx: Context) -> Facts:
    """Of equal rows the first is kept; facts: rows kept, rows dropped by reason."""
    looks = dict(_looks(stage, ctx))
    dropped: Counter[str] = Counter()
    rows = write_rows(ctx.output, _kept(stage, ctx, looks, dropped))
    left = rows + dropped.total()
    waterfall: list[dict[str, Any]] = [{"name": stage.rows, "rows": left}]
    for reason in looks:
        left -= dropped[reason]
        waterfall.append({"name": f"not {reason}", "rows": left})
    return {"rows": rows, "rejected": dict(sorted(dropped.items())), "waterfall": waterfall}


def _kept(stage: Dedup, ctx: Context, looks: dict[str, Look], dropped: Counter[str]) -> Iterator[AnyRow]:
    for row in rows_of(stage.rows, ctx.input(stage.data)):
        reason = next((name for name, look in looks.items() if look(row)), None)
        if reason is None:
            yield row
        else:
            dropped[reason] += 1


def _looks(stage: Dedup, ctx: Context) -> Iterator[tuple[str, Look]]:
    """Contamination first: what an evaluation asks must not be what hides its own near duplicates."""
    if stage.against is not None:
        yield CONTAMINATED, contaminated(stage.against, _evaluations(stage.against, ctx))
    if stage.exact:
        yield EXACT, seen_exactly()
    if stage.near is not None:
        yield NEAR, seen_nearly(stage.near)


def _evaluations(against: Decontamination, ctx: Context) -> Iterator[str]:
    for ref in against.prompts:
        yield from (asked_in(row) for row in read_rows(ctx.input(ref), PromptRow))


def seen_exactly() -> Look:
    """Rows whose words are equal, letter case and white space aside."""
    seen: set[bytes] = set()

    def look(row: AnyRow) -> bool:
        key = hashlib.sha256(plain(parts_of(row)).encode()).digest()[:16]
        known = key in seen
        seen.add(key)
        return known

    return look


def seen_nearly(near: NearDuplicates) -> Look:
    """Rows of which the estimated Jaccard similarity of shingles with an earlier kept row reaches the threshold.

    Candidates come from locality-sensitive hashing of MinHash signatures (Broder 1997) and are looked at again.
    """
    from datasketch import MinHash, MinHashLSH

    # Candidates are looked at again, so the index may offer too many and should miss few.
    index = MinHashLSH(threshold=min(0.9, near.threshold), num_perm=near.num_perm, weights=(0.1, 0.9))
    signatures: dict[int, MinHash] = {}

    def look(row: AnyRow) -> bool:
        signature = MinHash(num_perm=near.num_perm, seed=1)
        signature.update_batch([shingle.encode() for shingle in shingles(parts_of(row), near.ngram)])
        alike = any(signatures[one].jaccard(signature) >= near.threshold for one in index.query(signature))
        if not alike:
            signatures[len(signatures)] = signature
            index.insert(len(signatures) - 1, signature)
        return alike

    return look


def contaminated(against: Decontamination, prompts: Iterable[str]) -> Look:
    """Rows that share an n-gram of words with one of the prompts; of shorter prompts, rows with a turn that says just
    that."""
    grams: set[str] = set()
    short: set[str] = set()
    for prompt in prompts:
        words = words_of(prompt)
        if len(words) < against.ngram:
            short.add(" ".join(words))
        else:
            grams.update(_grams(words, against.ngram))

    def look(row: AnyRow) -> bool:
        turns = [words_of(part) for part in parts_of(row)]
        return any(" ".join(words) in short or not grams.isdisjoint(_grams(words, against.ngram)) for words in turns)

    return look


def shingles(parts: Iterable[str], ngram: int) -> set[str]:
    """Word n-grams of all parts together; the whole where there are fewer words."""
    words = [word for part in parts for word in words_of(part)]
    return set(_grams(words, min(ngram, max(1, len(words))))) or {""}


def _grams(words: list[str], size: int) -> Iterator[str]:
    return (" ".join(words[first : first + size]) for first in range(len(words) - size + 1))

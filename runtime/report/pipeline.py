"""One waterfall over the whole pipeline: what models wrote, and what of it was learnt from in the end.

Answers are followed one by one, from the responses of `generate` stages through judges, filters and pairs, and through
whatever moves rows, into what `sft` and `prefer` stages learnt from. Of dialogues and code that a stage wrote by itself
the losses inside the stage are what it told. Prompts are followed the same way, to the answers that were learnt from.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.report.lineage import Lineage, Made, read_lines
from runtime.rows import FILE

_CLEANING = ("dedup", "select")
_TEACHING = ("sft", "prefer")
Answer = tuple[str, str]
"""(fingerprint of the artifact where it was written, id): rounds may give equal ids."""


@dataclass
class _Followed:
    """Answers by where they are met."""

    written: set[Answer] = field(default_factory=set)
    finished: set[Answer] = field(default_factory=set)
    judged: set[Answer] = field(default_factory=set)
    kept: set[Answer] = field(default_factory=set)
    of_row: dict[str, set[Answer]] = field(default_factory=dict)
    """A row of a filter, a pair, a dialogue (its text) -> the answers in it."""
    prompt_of: dict[Answer, str] = field(default_factory=dict)


def pipeline(lineage: Lineage) -> list[dict[str, Any]]:
    """Of prompts and of answers: steps with their rows; empty where no model wrote any."""
    found = _follow(lineage)
    rows = {one.fingerprint: _texts(one) for one in lineage.of(*_CLEANING)}
    used = {answer for one in _taught(lineage) for text in _texts(one) for answer in found.of_row.get(text, ())}
    lost = {
        answer
        for one in lineage.of(*_CLEANING)
        for source in _sources(one, lineage)
        for text in _texts(source) - rows[one.fingerprint]
        for answer in found.of_row.get(text, ())
    }
    told = [_own(one) for one in lineage.of("dialogues", "code")]
    own = [sum(counts) for counts in zip(*told, strict=True)] or [0, 0, 0]
    answers = [
        ("generated", len(found.written) + own[0]),
        ("parsed", len(found.finished) + own[1]),
        ("judged", len(found.judged & found.finished) + own[2]),
        ("filtered", len(found.kept)),
        ("deduplicated", len(found.kept - (lost - used))),
        ("used", len(used)),
    ]
    lanes = [("prompts", _prompts(lineage, {found.prompt_of[answer] for answer in used})), ("answers", answers)]
    return [
        {"name": name, "steps": [{"name": step, "rows": count} for step, count in steps]}
        for name, steps in lanes
        if steps and steps[0][1]
    ]


def _follow(lineage: Lineage) -> _Followed:
    found = _Followed()
    for one in lineage.of("generate"):
        for row in _rows(one):
            answer = (one.fingerprint, row["id"])
            found.written.add(answer)
            found.prompt_of[answer] = row.get("prompt_id", "")
            if row.get("finished", True):
                found.finished.add(answer)
    for one in lineage.of("judge"):
        source = str(one.record.stage.get("responses"))
        found.judged |= {(source, row["response_id"]) for row in _rows(one) if row["score"] is not None}
    for one in lineage.of("filter", "pair"):
        source = str(one.record.stage.get("responses"))
        for row in _rows(one):
            answers = {(source, name) for name in row.get("made_from", ())} & found.written
            found.kept |= answers
            found.of_row.setdefault(_text(row), set()).update(answers)
    for one in lineage.of("dialogues", "code"):
        for row in _rows(one):
            answer = (one.fingerprint, row["id"])
            found.kept.add(answer)
            found.prompt_of[answer] = row.get("prompt_id", "")
            found.of_row.setdefault(_text(row), set()).add(answer)
    return found


def _own(one: Made) -> tuple[int, int, int]:
    """(generated, parsed, judged) of a stage that writes and chooses by itself."""
    steps = [int(step["rows"]) for step in one.facts["waterfall"]]
    names = [step["name"] for step in one.facts["waterfall"]]
    written = next((place for place, name in enumerate(names) if name.startswith("solved")), None)
    if written is None:
        written = max((place for place, name in enumerate(names) if name.startswith("answered")), default=0)
    return steps[0], steps[written], steps[written] - int(one.facts["rejected"].get("fitness unknown", 0))


def _prompts(lineage: Lineage, answered: set[str]) -> list[tuple[str, int]]:
    """Of stages whose prompts a model wrote."""
    writers = [one for one in lineage.of("prompts") if _asks_a_model(one) and one.facts.get("waterfall")]
    parents = {row["id"]: row.get("made_from", ()) for one in lineage.of("prompts") for row in _rows(one)}
    used = set(answered)
    waiting = list(answered)
    while waiting:
        fresh = [name for name in parents.get(waiting.pop(), ()) if name not in used]
        used.update(fresh)
        waiting += fresh
    names = {row["id"] for one in writers for row in _rows(one)}
    cleaned = _lost_prompts(lineage) & names - used
    counts = [_written(one) for one in writers]
    return [
        ("generated", sum(one[0] for one in counts)),
        ("parsed", sum(one[1] for one in counts)),
        ("filtered", sum(one[2] for one in counts)),
        ("deduplicated", len(names) - len(cleaned)),
        ("used", len(names & used)),
    ]


def _asks_a_model(one: Made) -> bool:
    generator = one.record.stage.get("generator", {})
    return bool(generator.get("model") or generator.get("policy"))


def _written(one: Made) -> tuple[int, int, int]:
    """(asked for, well formed, of a wanted part and family)"""
    steps: Mapping[str, int] = {step["name"]: int(step["rows"]) for step in one.facts["waterfall"]}
    first, second, *_ = steps.values()
    return first, second, steps.get("of a wanted part", second)


def _lost_prompts(lineage: Lineage) -> set[str]:
    lost: set[str] = set()
    for one in lineage.of(*_CLEANING):
        if one.record.stage.get("rows") == "prompts":
            left = {row["id"] for row in _rows(one)}
            lost |= {row["id"] for source in _sources(one, lineage) for row in _rows(source)} - left
    return lost


def _taught(lineage: Lineage) -> Iterator[Made]:
    """What sft and prefer stages learnt from, each once."""
    names = dict.fromkeys(str(one.record.stage.get("data")) for one in lineage.of(*_TEACHING))
    yield from (lineage.by_fingerprint[name] for name in names if name in lineage.by_fingerprint)


def _sources(one: Made, lineage: Lineage) -> Iterator[Made]:
    source = lineage.by_fingerprint.get(str(one.record.stage.get("data")))
    if source is not None:
        yield source


def _texts(one: Made) -> set[str]:
    return {_text(row) for row in _rows(one)}


def _rows(one: Made) -> list[dict[str, Any]]:
    """None of an artifact without rows: documents may stay where they lie."""
    return read_lines(one.folder, FILE) if (one.folder / FILE).is_file() else []


def _text(row: Mapping[str, Any]) -> str:
    """Equal for a row and what is moved of it."""
    return json.dumps(row, sort_keys=True)

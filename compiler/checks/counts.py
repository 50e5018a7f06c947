"""Counts that cannot be reached: more rows asked for than what they are made of can give."""

from collections.abc import Mapping

from compiler.checks.view import View
from compiler.elaborate import ProgramStage
from compiler.schema.generators import Coding, Math, OpenQA, TwoTurn, Writing
from compiler.schema.topics import Generated
from compiler.stages.annotate import Annotate
from compiler.stages.code import Code
from compiler.stages.dedup import Dedup
from compiler.stages.dialogues import Dialogues
from compiler.stages.filter import Filter
from compiler.stages.generate import Generate
from compiler.stages.mix import Mix
from compiler.stages.pair import Pair
from compiler.stages.prompts import Prompts
from compiler.stages.select import Select
from compiler.stages.split import Split
from compiler.stages.topics import Topics


def check_counts(view: View) -> None:
    """prompts, topics and mix ask for no more than there can be; what depends on models or files is not judged."""
    most: dict[str, int | None] = {}
    for label, at in view.stages.items():
        most[label] = _most(at, most)
        match at.stage:
            case Prompts():
                _check_prompts(view, at, at.stage, most)
            case Topics():
                _check_topics(view, at, at.stage)
            case Mix():
                _check_mix(view, at, at.stage, most)
            case _:
                pass


def _most(at: ProgramStage, most: Mapping[str, int | None]) -> int | None:
    """Rows that the stage makes at most; None where the recipe does not say."""
    match at.stage:
        case Prompts(count=count) | Mix(count=count) | Topics(count=count) | Code(count=count):
            return count
        case Annotate(prompts=source) | Dialogues(prompts=source):
            return most[source]
        case Split(data=source) | Select(data=source) | Dedup(data=source) | Pair(responses=source):
            return most[source]
        case Generate(prompts=source, samples=samples):
            return _times(most[source], samples)
        case Filter(responses=source):
            return most[source]
        case _:
            return None


def _times(rows: int | None, factor: int) -> int | None:
    return None if rows is None else rows * factor


def _check_prompts(view: View, at: ProgramStage, stage: Prompts, most: Mapping[str, int | None]) -> None:
    """What is generated falls into the split's parts by their shares; the others' prompts are not kept."""
    match stage.generator:
        case OpenQA() | Writing() as generator:
            source, each = generator.topics, generator.per_topic * max(1, len(generator.refinements))
        case Math() | Coding() as generator:
            source, each = generator.keywords, generator.per_keyword * len(generator.levels)
        case TwoTurn() as generator:
            source, each = generator.prompts, 1
        case _:
            return
    rows, shares = most[source], stage.split.shares
    if rows is None or not all(part in shares for part in stage.parts):
        return
    kept = sum(shares[part] for part in set(stage.parts)) / sum(shares.values())
    made = rows * each
    if stage.count > made * kept:
        parts = f", of which {', '.join(stage.parts)} keep {made * kept:,.0f}" if kept < 1 else ""
        message = f"is {stage.count:,}, but the generator can write {rows:,} x {each} = {made:,}{parts}"
        related = ((view.stages[source].at, f"{rows:,} rows"),)
        hint = "ask for fewer, or for more of each topic or of more topics"
        view.blame(at, "count", message, "too-large", hint=hint, related=related)


def _check_topics(view: View, at: ProgramStage, stage: Topics) -> None:
    made = 0
    for source in stage.sources:
        if not isinstance(source, Generated):
            return
        made += max(1, len(source.levels)) * source.macro_topics * (1 + source.subtopics)
    if stage.count > made:
        message = f"is {stage.count:,}, but the sources can name {made:,}"
        hint = "ask for fewer, or for more macro_topics or subtopics"
        view.blame(at, "count", message, "too-large", hint=hint)


def _check_mix(view: View, at: ProgramStage, stage: Mix, most: Mapping[str, int | None]) -> None:
    total = sum(stage.data.values())
    for ref in at.refs:
        rows = most[ref.label]
        share = stage.count * stage.data[ref.label] / total
        if rows is not None and int(share) > rows:
            message = f"{ref.written!r} gives {int(share):,} of the {stage.count:,} rows, but has {rows:,} at most"
            related = ((view.stages[ref.label].at, f"{rows:,} rows"),)
            hint = "lower `count` or its weight; no row is drawn twice"
            view.blame(at, ref.path, message, "too-large", hint=hint, related=related)

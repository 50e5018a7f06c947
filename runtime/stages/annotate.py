"""annotate: stand-ins for human annotators answer prompts, some of them wrongly."""

import random
from collections import Counter

from compiler.artifacts import DialogueRow, Message, PromptRow
from compiler.stages.annotate import Annotate
from runtime.context import Context, Facts
from runtime.rows import messages_id, read_rows, write_rows
from runtime.tasks import find


def run(stage: Annotate, ctx: Context) -> Facts:
    """One dialogue for each prompt; whether and how an annotator errs depends on the seed and the prompt alone."""
    families: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    rows: list[DialogueRow] = []
    for prompt in read_rows(ctx.input(stage.prompts), PromptRow):
        rng = random.Random(f"{stage.seed}/{prompt.id}")
        errs = rng.random() < stage.error_rate
        rows.append(_annotated(prompt, errs, rng))
        families[prompt.family] += 1
        wrong[prompt.family] += errs
    write_rows(ctx.output, rows)
    return {
        "rows": len(rows),
        "rows_by_family": dict(sorted(families.items())),
        "wrong": wrong.total(),
        "wrong_by_family": dict(sorted(wrong.items())),
    }


def _annotated(prompt: PromptRow, errs: bool, rng: random.Random) -> DialogueRow:
    family = find(prompt.family)
    task = family.parse(prompt.messages[-1].content)
    if task is None:
        raise ValueError(f"prompt {prompt.id} is no {prompt.family} task: {prompt.messages[-1].content!r}")
    text = family.mistake(task, rng) if errs else family.answer(task, rng)
    messages = (*prompt.messages, Message(role="assistant", content=text))
    return DialogueRow(
        id=messages_id(messages), prompt_id=prompt.id, family=prompt.family, messages=messages, origin="annotator"
    )

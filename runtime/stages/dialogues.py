"""dialogues: a model plays both sides of a conversation."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from compiler.artifacts import DialogueRow, Message, PromptRow, ResponseRow
from compiler.render import render
from compiler.schema.judges import RewardModelJudge
from compiler.stages.dialogues import Dialogues
from runtime.asking import Asker, Question, Rejected, question
from runtime.clients.open import open_model
from runtime.context import Context, Facts
from runtime.role_play import user_turn
from runtime.rows import messages_id, read_rows, write_rows


@dataclass(frozen=True)
class Talk:
    """A dialogue on its way."""

    prompt: PromptRow
    persona: str
    messages: tuple[Message, ...]
    answer_ids: tuple[int, ...] | None = None
    """Of the last turn, where the model tells."""


def run(stage: Dialogues, ctx: Context) -> Facts:
    """Plays all dialogues turn by turn; facts: rows, rejects by reason, and how many each turn leaves."""
    talks = [_opened(stage, prompt) for prompt in read_rows(ctx.input(stage.prompts), PromptRow)]
    rejected: Counter[str] = Counter()
    waterfall: list[dict[str, Any]] = [{"name": "prompts", "rows": len(talks)}]
    with open_model(stage.policy, ctx) as model:
        asker = Asker(model, stage.sampling, stage.seed)
        for turn in range(1, stage.turns + 1):
            if turn > 1:
                talks = _users_turn(stage, asker, talks, turn, rejected)
            talks = _assistants_turn(asker, talks, turn, rejected)
            waterfall.append({"name": f"answered in turn {turn}", "rows": len(talks)})
    judged: dict[str, Any] = {}
    if stage.judge is not None and stage.at_least is not None:
        talks, judged = _above(stage.judge, stage.at_least, talks, ctx, rejected)
        waterfall.append({"name": "above the threshold", "rows": len(talks)})
    rows = {row.id: row for row in map(_row, talks)}
    if not rows:
        raise ValueError(f"none of {waterfall[0]['rows']} dialogues can be used: {dict(rejected)}")
    if len(rows) < len(talks):
        rejected["duplicate"] += len(talks) - len(rows)
    waterfall.append({"name": "distinct", "rows": len(rows)})
    if ctx.rank == 0:
        write_rows(ctx.output, rows.values())
    return {
        "rows": len(rows),
        "rows_by_family": dict(sorted(Counter(row.family for row in rows.values()).items())),
        "rows_by_persona": dict(sorted(Counter(talk.persona for talk in talks).items())),
        "rejected": dict(sorted(rejected.items())),
        "waterfall": waterfall,
        **judged,
    }


def _opened(stage: Dialogues, prompt: PromptRow) -> Talk:
    rng = random.Random(f"{stage.seed}/{prompt.id}/persona")
    return Talk(prompt, rng.choice(stage.personas), prompt.messages)


def _assistants_turn(asker: Asker, talks: Sequence[Talk], turn: int, rejected: Counter[str]) -> list[Talk]:
    asked = [Question(f"{talk.prompt.id}-{turn}", talk.messages) for talk in talks]
    found = []
    for talk, said in zip(talks, asker.complete(asked, f"assistant-{turn}"), strict=True):
        if isinstance(said, Rejected):
            rejected[said.reason] += 1
        else:
            answer = Message(role="assistant", content=said.text)
            found.append(replace(talk, messages=(*talk.messages, answer), answer_ids=said.token_ids))
    return found


def _users_turn(stage: Dialogues, asker: Asker, talks: Sequence[Talk], turn: int, rejected: Counter[str]) -> list[Talk]:
    asked = [
        question(f"{talk.prompt.id}-{turn}", f"prompts/user_{talk.persona}.j2", messages=talk.messages)
        for talk in talks
    ]
    instructions = {str(persona): render(f"prompts/user_{persona}.j2", messages=()) for persona in stage.personas}
    found = []
    for talk, said in zip(talks, asker.ask(asked, f"user-{turn}"), strict=True):
        message = (
            said
            if isinstance(said, Rejected)
            else user_turn(
                said,
                talk.messages,
                instructions=instructions[talk.persona],
                remove_filler=stage.remove_filler,
            )
        )
        if isinstance(message, Rejected):
            rejected[f"user: {message.reason}"] += 1
        else:
            found.append(replace(talk, messages=(*talk.messages, message)))
    return found


def _above(
    judge: RewardModelJudge, least: float, talks: Sequence[Talk], ctx: Context, rejected: Counter[str]
) -> tuple[list[Talk], dict[str, Any]]:
    """Dialogues that reach the threshold. The judge is imported here: it needs torch."""
    from runtime.judges.reward_model import judge as ask

    scores = [score.score for score in ask(judge, [_response(talk) for talk in talks], ctx).scores]
    kept = [talk for talk, score in zip(talks, scores, strict=True) if score is None or score >= least]
    if len(kept) < len(talks):
        rejected[f"reward below {least:g}"] += len(talks) - len(kept)
    heard = [score for score in scores if score is not None]
    return kept, {"silent": len(scores) - len(heard), "mean_reward": sum(heard) / len(heard) if heard else None}


def _response(talk: Talk) -> ResponseRow:
    """The whole dialogue as the answer to all but its last turn, which is how a reward model reads it."""
    *before, last = talk.messages
    return ResponseRow(
        id=f"{talk.prompt.id}-0",
        prompt_id=talk.prompt.id,
        family=talk.prompt.family,
        messages=tuple(before),
        response=last.content,
        response_ids=talk.answer_ids,
        finished=True,
        logprob=None,
    )


def _row(talk: Talk) -> DialogueRow:
    return DialogueRow(
        id=messages_id(talk.messages),
        prompt_id=talk.prompt.id,
        family=talk.prompt.family,
        messages=talk.messages,
        origin="model",
        answer_ids=talk.answer_ids,
    )

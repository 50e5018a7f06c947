"""evaluate: greedy and sampled answers to held-out prompts, checked by each task's verifier."""

import json
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from compiler.artifacts import PromptRow
from compiler.schema.judges import RewardModelJudge
from compiler.schema.model import Precision
from compiler.schema.sampling import Sampling
from compiler.stages.evaluate import Evaluate
from runtime import tasks
from runtime.answers import Answer, Question, answer
from runtime.context import Context, Facts
from runtime.engine.parallel import start
from runtime.intervals import wilson
from runtime.policy import TOKENIZER, open_policy
from runtime.rewards import attributes, open_reward_model, scalar
from runtime.rows import FILE, read_rows
from runtime.tokenizer import ChatTokenizer

SUMMARY = "summary.json"
_DECODINGS = {"greedy": 0.0, "sampled": 1.0}


def run(stage: Evaluate, ctx: Context) -> Facts:
    """Writes `rows.jsonl` (a line for each prompt) and `summary.json`; facts: the summary."""
    policy = ctx.input(stage.policy)
    tokenizer = ChatTokenizer.load(policy / TOKENIZER)
    prompts = list(read_rows(ctx.input(stage.prompts), PromptRow))
    questions = [Question(prompt.id, tuple(tokenizer.encode_prompt(prompt.messages))) for prompt in prompts]
    with start(
        ctx.placement.layout, rank=ctx.rank, world_size=ctx.world_size, rendezvous=ctx.rendezvous, seed=stage.seed
    ):
        model = open_policy(policy, ctx.placement.layout, Precision(dtype="fp32"))
        rows: list[dict[str, Any]] = [
            {"id": prompt.id, "family": prompt.family, "prompt": prompt.messages[-1].content} for prompt in prompts
        ]
        for name, temperature in _DECODINGS.items():
            sampling = Sampling(temperature=temperature, top_p=1.0, max_new_tokens=stage.max_new_tokens)
            answers = answer(model, questions, sampling, end_id=tokenizer.end_id, seed=stage.seed, ctx=ctx, ledger=name)
            for row, question in zip(rows, questions, strict=True):
                row[name] = _check(row, answers[question.id], tokenizer)
        del model  # The reward model takes its place: two at once may not fit.
        if stage.reward is not None:
            _add_rewards(stage.reward, rows, questions, tokenizer, ctx)
    summary = {
        "prompts": len(rows),
        "decodings": {name: _summary(rows, name) for name in _DECODINGS},
        "families": {
            family: {name: _summary([row for row in rows if row["family"] == family], name) for name in _DECODINGS}
            for family in sorted({row["family"] for row in rows})
        },
    }
    if ctx.rank == 0:
        lines = [json.dumps(row, sort_keys=True, ensure_ascii=False) for row in rows]
        (ctx.output / FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
        (ctx.output / SUMMARY).write_text(json.dumps(summary, indent=1, sort_keys=True), encoding="utf-8")
    return summary


def _check(row: dict[str, Any], found: Answer, tokenizer: ChatTokenizer) -> dict[str, Any]:
    response = tokenizer.decode(found.token_ids)
    family = tasks.find(row["family"])
    task = family.parse(row["prompt"])
    assert task is not None, f"a held-out prompt that its own family cannot read: {row['prompt']!r}"
    return {
        "response": response,
        "token_ids": list(found.token_ids),
        "finished": found.finished,
        "passed": family.judge(task, response).passed,
    }


def _add_rewards(
    judge: RewardModelJudge,
    rows: Sequence[dict[str, Any]],
    questions: Sequence[Question],
    tokenizer: ChatTokenizer,
    ctx: Context,
) -> None:
    model = open_reward_model(ctx.input(judge.model), ctx.placement.layout)
    sequences = [
        [*question.token_ids, *row["greedy"]["token_ids"]] for row, question in zip(rows, questions, strict=True)
    ]
    found = attributes(model, sequences, pad_id=tokenizer.pad_id, rows_at_once=ctx.placement.rows_at_once)
    for row, numbers in zip(rows, found, strict=True):
        row["greedy"]["reward"] = scalar(judge, numbers)


def _summary(rows: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    passed = sum(row[name]["passed"] for row in rows)
    low, accuracy, high = wilson(passed, len(rows))
    rewards = [row[name]["reward"] for row in rows if "reward" in row[name]]
    return {
        "prompts": len(rows),
        "passed": passed,
        "accuracy": accuracy,
        "low": low,
        "high": high,
        "mean_tokens": fmean(len(row[name]["token_ids"]) for row in rows),
        "finished": fmean(row[name]["finished"] for row in rows),
        "reward": fmean(rewards) if rewards else None,
    }

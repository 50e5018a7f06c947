"""evaluate: greedy and sampled answers to held-out prompts, checked by the verifier that each prompt has, or graded."""

import json
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from compiler.artifacts import PromptRow, ResponseRow
from compiler.schema.judges import LLMGrade, RewardModelJudge
from compiler.schema.sampling import Sampling
from compiler.stages.evaluate import Evaluate
from runtime import truth
from runtime.clients.open import open_model
from runtime.clients.request import Completion, Request
from runtime.context import Context, Facts
from runtime.intervals import wilson
from runtime.judges import llm_grade
from runtime.rows import FILE, read_rows

SUMMARY = "summary.json"
_DECODINGS = {"greedy": 0.0, "sampled": 1.0}


def run(stage: Evaluate, ctx: Context) -> Facts:
    """Writes `rows.jsonl` (a line for each prompt) and `summary.json`; facts: the summary."""
    prompts = list(read_rows(ctx.input(stage.prompts), PromptRow))
    rows: list[dict[str, Any]] = [
        {"id": prompt.id, "family": prompt.family, "prompt": prompt.messages[-1].content} for prompt in prompts
    ]
    with open_model(stage.policy, ctx) as model:
        for name, temperature in _DECODINGS.items():
            sampling = Sampling(temperature=temperature, top_p=1.0, max_new_tokens=stage.max_new_tokens)
            requests = [Request(prompt.id, prompt.messages, sampling, stage.seed) for prompt in prompts]
            for row, prompt, completion in zip(rows, prompts, model.ask(requests, ledger=name), strict=True):
                row[name] = _check(prompt, completion)
    unchecked = next((row for row in rows if row["greedy"]["passed"] is None), None)
    if unchecked is not None and stage.reward is None and stage.grade is None:
        where = f"the held-out prompt {unchecked['id']} ({unchecked['family']})"
        raise ValueError(f"no program can check an answer to {where}, and no judge is asked")
    if stage.reward is not None:
        _add_rewards(stage.reward, rows, prompts, ctx)
    if stage.grade is not None:
        _add_grades(stage.grade, rows, prompts, ctx)
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


def _check(prompt: PromptRow, found: Completion) -> dict[str, Any]:
    """`passed` is None where no program can tell."""
    if found.rejected:
        raise ValueError(f"the held-out prompt {found.key} cannot be answered: {found.rejected}")
    verdict = truth.verdict(prompt.family, prompt.messages, prompt.check, found.text)
    return {
        "response": found.text,
        "token_ids": found.token_ids and list(found.token_ids),
        "tokens": found.usage.completion_tokens,
        "finished": found.finished,
        "passed": None if verdict is None else verdict.passed,
    }


def _add_rewards(
    judge: RewardModelJudge,
    rows: Sequence[dict[str, Any]],
    prompts: Sequence[PromptRow],
    ctx: Context,
) -> None:
    """The engine is imported here: a served model without a reward needs no torch."""
    from runtime.clients.policy import joined
    from runtime.policy import TOKENIZER
    from runtime.rewards import attributes, open_reward_model, scalar
    from runtime.tokenizer import ChatTokenizer

    folder = ctx.input(judge.model)
    tokenizer = ChatTokenizer.load(folder / TOKENIZER)
    answers = (tokenizer.answer_ids(row["greedy"]["response"], row["greedy"]["token_ids"]) for row in rows)
    sequences = [
        [*tokenizer.encode_prompt(prompt.messages), *answer] for prompt, answer in zip(prompts, answers, strict=True)
    ]
    with joined(ctx):
        model = open_reward_model(folder, ctx.placement.layout)
        found = attributes(model, sequences, pad_id=tokenizer.pad_id, rows_at_once=ctx.placement.rows_at_once)
        for row, numbers in zip(rows, found, strict=True):
            row["greedy"]["reward"] = scalar(judge, numbers)


def _add_grades(judge: LLMGrade, rows: Sequence[dict[str, Any]], prompts: Sequence[PromptRow], ctx: Context) -> None:
    """Of greedy answers; None where the judge gives none that can be read."""
    answers = [
        ResponseRow(
            id=f"{prompt.id}-0",
            prompt_id=prompt.id,
            family=prompt.family,
            messages=prompt.messages,
            response=row["greedy"]["response"],
            response_ids=None,
            finished=row["greedy"]["finished"],
            logprob=None,
            check=prompt.check,
        )
        for row, prompt in zip(rows, prompts, strict=True)
    ]
    for row, given in zip(rows, llm_grade.judge(judge, answers, ctx).scores, strict=True):
        row["greedy"]["grade"] = given.score


def _summary(rows: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """Accuracy over the prompts that a program can check; None where there are none."""
    checked = [row[name]["passed"] for row in rows if row[name]["passed"] is not None]
    low, accuracy, high = wilson(sum(checked), len(checked)) if checked else (None, None, None)
    rewards = [row[name]["reward"] for row in rows if "reward" in row[name]]
    grades = [row[name]["grade"] for row in rows if row[name].get("grade") is not None]
    return {
        "prompts": len(rows),
        "checked": len(checked),
        "passed": sum(checked),
        "accuracy": accuracy,
        "low": low,
        "high": high,
        "mean_tokens": fmean(row[name]["tokens"] for row in rows),
        "finished": fmean(row[name]["finished"] for row in rows),
        "reward": fmean(rewards) if rewards else None,
        "grade": fmean(grades) if grades else None,
        "graded": len(grades),
    }

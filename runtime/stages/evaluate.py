"""evaluate: greedy and sampled answers to held-out prompts, checked by the verifier that each prompt has."""

import json
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from compiler.artifacts import PromptRow
from compiler.schema.judges import RewardModelJudge
from compiler.schema.sampling import Sampling
from compiler.stages.evaluate import Evaluate
from runtime import truth
from runtime.clients.open import open_model
from runtime.clients.request import Completion, Request
from runtime.context import Context, Facts
from runtime.intervals import wilson
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
    if stage.reward is not None:
        _add_rewards(stage.reward, rows, prompts, ctx)
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
    if found.rejected:
        raise ValueError(f"the held-out prompt {found.key} cannot be answered: {found.rejected}")
    verdict = truth.verdict(prompt.family, prompt.messages, prompt.check, found.text)
    if verdict is None:
        raise ValueError(f"no program can check an answer to the held-out prompt {prompt.id} ({prompt.family})")
    return {
        "response": found.text,
        "token_ids": found.token_ids and list(found.token_ids),
        "tokens": found.usage.completion_tokens,
        "finished": found.finished,
        "passed": verdict.passed,
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
        "mean_tokens": fmean(row[name]["tokens"] for row in rows),
        "finished": fmean(row[name]["finished"] for row in rows),
        "reward": fmean(rewards) if rewards else None,
    }

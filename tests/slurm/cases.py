"""What the tests on Slurm share: commands, small recipes, waiting."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from compiler.runs.status import current_status

ROOT = Path(__file__).parents[2]
MICRO = ROOT / "tests" / "recipes" / "micro.yaml"
LOOPBACK = ROOT / "specs" / "clusters" / "loopback.yaml"

_HEAD = """\
rung: 1
name: NAME
splits: {by_prompt: {salt: x, shares: {exam: 0.2, sft: 0.8}}}
generators: {words: {kind: tasks, families: {reverse: 1, repeat: 1}}}
pipeline:
"""
_PROMPTS = "  {name}: {{kind: prompts, generator: words, count: 50, split: by_prompt, parts: [sft], seed: {seed}}}\n"
_ANSWERS = "  {name}: {{kind: annotate, prompts: {prompts}, error_rate: 0, seed: {seed}}}\n"


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-P", "-m", "compiler", *map(str, arguments)]


def rung(*arguments: object, status: int = 0) -> dict[str, Any]:
    """A command's last line of JSON."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == status, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def submit(spec: Path, store: Path, *more: str) -> dict[str, Any]:
    return rung("submit", spec, "--cluster", LOOPBACK, "--store", store, "--json", *more)


def status(run: str, store: Path) -> dict[str, Any]:
    """What `rung status --json` prints, without a process of its own each time."""
    return asdict(current_status(store / "runs" / run))


def states(told: Mapping[str, Any]) -> dict[str, str]:
    return {stage["name"]: stage["state"] for stage in told["stages"]}


def until(run: str, store: Path, ready: Callable[[dict[str, Any]], bool], patience_s: float = 240) -> dict[str, Any]:
    """The first status that is so."""
    end = time.monotonic() + patience_s
    while True:
        told = status(run, store)
        if ready(told):
            return told
        assert time.monotonic() < end, json.dumps(told, indent=1)
        time.sleep(0.5)


def until_ended(run: str, store: Path) -> dict[str, Any]:
    return until(run, store, lambda told: told["state"] in ("done", "failed", "cancelled"))


def chains(folder: Path, count: int) -> Path:
    """A recipe of so many pairs of quick stages, the second of which needs the first."""
    text = _HEAD.replace("NAME", "chains")
    for number in range(count):
        text += _PROMPTS.format(name=f"prompts_{number}", seed=number)
        text += _ANSWERS.format(name=f"answers_{number}", prompts=f"prompts_{number}", seed=number)
    spec = folder / "chains.yaml"
    spec.write_text(text, encoding="utf-8")
    return spec


def doomed(folder: Path) -> Path:
    """A recipe whose mix fails when it runs (both sources hold the same dialogues), with a stage behind it."""
    text = _HEAD.replace("NAME", "doomed") + _PROMPTS.format(name="prompts", seed=1)
    text += _ANSWERS.format(name="one", prompts="prompts", seed=1) + _ANSWERS.format(
        name="other", prompts="prompts", seed=2
    )
    text += "  both: {kind: mix, rows: dialogues, data: {one: 1, other: 1}, count: 100, seed: 1}\n"
    text += "  tokenizer: {kind: tokenizer, data: [both], vocab_size: 300, chat_template: compact}\n"
    spec = folder / "doomed.yaml"
    spec.write_text(text, encoding="utf-8")
    return spec


def training(folder: Path) -> Path:
    """The micro recipe as far as its pretraining, which takes some seconds more."""
    text = MICRO.read_text(encoding="utf-8").partition("  sft:\n")[0]
    text = text.replace("{global_batch_size: 16, tokens: 20k}", "{global_batch_size: 16, tokens: 1.2M}")
    spec = folder / "training.yaml"
    spec.write_text(text, encoding="utf-8")
    return spec


def half(folder: Path, *, divided: bool = False, upto: str = "") -> Path:
    """The micro recipe as far as its reward model, with a few more rows to generate, judge and tokenize.

    `divided`: what can be, as arrays. `upto`: without this stage and what follows it.
    """
    text = MICRO.read_text(encoding="utf-8").partition("  rounds:\n")[0]
    three, two = ("placement: {shards: 3}", "placement: {shards: 2}") if divided else ("", "")
    text = text.replace("    seed: 1\n  reward_ratings:", f"    seed: 1\n    {two}\n  reward_ratings:")
    text += f"""\
  more: {{kind: annotate, prompts: prompts, error_rate: 0.5, seed: 7}}
  more_tokens: {{kind: tokenize, data: more, tokenizer: tokenizer, {three}}}
  more_responses:
    kind: generate
    policy: sft
    prompts: prompts
    samples: 2
    sampling: {{temperature: 1.0, top_p: 1.0, max_new_tokens: 12}}
    seed: 7
    {three}
  more_truths: {{kind: judge, judge: truth, responses: more_responses, {two}}}
  more_rewards: {{kind: judge, judge: by_reward, responses: more_responses, {two}}}
"""
    spec = folder / "half.yaml"
    spec.write_text(text.partition(f"  {upto}:")[0] if upto else text, encoding="utf-8")
    return spec


def hashes(store: Path) -> dict[str, dict[str, str]]:
    """Stage -> the hashes of what it made."""
    records = [json.loads(file.read_text()) for file in (store / "store").glob("*/*/artifact.json")]
    return {record["label"]: record["files"] for record in records}


def message(told: Mapping[str, Any], name: str) -> str:
    """What status says of a stage."""
    return next(str(stage["message"]) for stage in told["stages"] if stage["name"] == name)

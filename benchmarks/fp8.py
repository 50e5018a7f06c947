"""What FP8 does to a loss curve: the tiny model under each recipe, emulated, beside fp32 and bf16.

    python -P benchmarks/fp8.py [--seeds 1 2] [--tokens N] [--picture FILE.svg] [--store DIR]

A recipe of its own is run by `rung run`: per seed one base model for each precision, on equal batches from equal
initial weights, so that what differs between two curves is rounding. Prints, as Markdown, the loss over the last tenth
of the steps, what it differs by from that of fp32 under the same seed, and the CPU time that training took, its start
included. Takes some minutes of a core; with --store the base models of an earlier run are used again.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
BATCH, LENGTH = 16, 64

_EMULATED = {"bf16_first_layers": 0, "bf16_last_layers": 0, "param_gather": False, "emulate": True}
_DELAYED = {"kind": "delayed", "format": "hybrid", "margin": 0, "amax_history": 16, "amax_algorithm": "max"}
PRECISIONS: Mapping[str, Mapping[str, Any]] = {
    "fp32": {"dtype": "fp32"},
    "bf16": {"dtype": "bf16"},
    "delayed": {"dtype": "bf16", "fp8": {**_DELAYED, **_EMULATED}},
    "tensorwise": {"dtype": "bf16", "fp8": {"kind": "tensorwise", "format": "hybrid", **_EMULATED}},
    "blockwise": {"dtype": "bf16", "fp8": {"kind": "blockwise", "format": "e4m3", **_EMULATED}},
    "mxfp8": {"dtype": "bf16", "fp8": {"kind": "mxfp8", "format": "e4m3", **_EMULATED}},
}
COLOURS = ("#8a8a8a", "#3b6fd4", "#e08a00", "#c2408f", "#1f9d6b", "#7d5bd0")
"""Of the precisions, readable on white and on black."""


class Curve(NamedTuple):
    """One training."""

    losses: list[float]
    cpu_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--tokens", type=int, default=122_880, help="that each model is trained on")
    parser.add_argument("--picture", type=Path, help="where to draw the curves")
    parser.add_argument("--store", type=Path, help="kept; a temporary one is not")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        curves = train(options.store or Path(folder) / "store", Path(folder), options.seeds, options.tokens)
    print(table(curves))
    if options.picture:
        options.picture.write_text(picture(curves), encoding="utf-8")


def train(store: Path, folder: Path, seeds: Sequence[int], tokens: int) -> dict[str, list[Curve]]:
    """The curves of each precision, one for each seed."""
    recipe = folder / "fp8.yaml"
    recipe.write_text(json.dumps(experiment(seeds, tokens)), encoding="utf-8")
    command = [sys.executable, "-m", "compiler", "run", str(recipe), "--store", str(store), "--json"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
    found = {}
    for file in store.glob("store/pretrain/*/artifact.json"):
        record = json.loads(file.read_text(encoding="utf-8"))
        lines = (file.parent / "curve.jsonl").read_text(encoding="utf-8").splitlines()
        found[record["label"]] = Curve([json.loads(line)["loss"] for line in lines], record["measured"]["cpu_s"])
    return {name: [found[f"{name}_{seed}"] for seed in seeds] for name in PRECISIONS}


def experiment(seeds: Sequence[int], tokens: int) -> dict[str, Any]:
    """JSON is YAML."""
    families = {"reverse": 1, "sort": 1, "word_problem": 1, "repeat": 1, "list_things": 1, "words_without": 1}
    prompts = {"kind": "prompts", "generator": "all", "count": 6000, "split": "all", "parts": ["training"], "seed": 1}
    rate = {"shape": "cosine", "start": 5e-3, "end": 5e-4, "warmup_steps": 10}
    phase = {"name": "main", "blend": {"tokens": 1}, "learning_rate": rate}
    base = {
        "kind": "pretrain",
        "model": "tiny",
        "tokenizer": "tokenizer",
        "seq_length": LENGTH,
        "phases": [{**phase, "batch_ramp": [{"global_batch_size": BATCH, "tokens": tokens}]}],
        "optimizer": "adam",
    }
    return {
        "rung": 1,
        "name": "fp8",
        "use": [str(ROOT / "specs/models/tiny.yaml")],
        "splits": {"all": {"salt": "fp8", "shares": {"training": 1.0}}},
        "optimizers": {"adam": {"beta1": 0.9, "beta2": 0.98, "epsilon": 1e-8, "weight_decay": 0.1, "clip_grad": 1.0}},
        "precisions": PRECISIONS,
        "generators": {"all": {"kind": "tasks", "families": families}},
        "pipeline": {
            "prompts": prompts,
            "answers": {"kind": "annotate", "prompts": "prompts", "error_rate": 0.1, "seed": 1},
            "tokenizer": {"kind": "tokenizer", "data": ["answers"], "vocab_size": 512, "chat_template": "compact"},
            "tokens": {"kind": "tokenize", "data": "answers", "tokenizer": "tokenizer"},
            **{f"{name}_{seed}": {**base, "precision": name, "seed": seed} for seed in seeds for name in PRECISIONS},
        },
    }


def last(curve: Curve) -> float:
    """Mean loss over the last tenth of the steps."""
    return fmean(curve.losses[-max(1, len(curve.losses) // 10) :])


def table(curves: Mapping[str, Sequence[Curve]]) -> str:
    lines = ["| precision | loss at the end | less fp32's, by seed | CPU s |", "| --- | --- | --- | --- |"]
    for name, runs in curves.items():
        apart = [last(run) - last(exact) for run, exact in zip(runs, curves["fp32"], strict=True)]
        told = ", ".join(f"{difference:+.4f}" for difference in apart) if name != "fp32" else ""
        lines.append(f"| {name} | {fmean(map(last, runs)):.4f} | {told} | {fmean(run.cpu_s for run in runs):.0f} |")
    spread = [last(run) for run in curves["fp32"]]
    lines.append(f"\nBetween seeds the loss of fp32 itself is {min(spread):.4f} to {max(spread):.4f}.")
    return "\n".join(lines)


# --- the picture ------------------------------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, RIGHT, TOP, MIDDLE = 760, 300, 52, 12, 44, 60
PANEL = (WIDTH - LEFT - RIGHT - MIDDLE) / 2
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#333}.t{font-weight:600}.g{stroke:#ddd}.l{fill:none;stroke-width:1.6}"
    "@media(prefers-color-scheme:dark){text{fill:#ccc}.g{stroke:#3a3a3a}}"
)


def picture(curves: Mapping[str, Sequence[Curve]]) -> str:
    """Left the losses, right what they differ by from fp32's under the same seed; means of seeds and stretches."""
    means = {
        name: stretches([fmean(losses) for losses in zip(*(run.losses for run in runs), strict=True)])
        for name, runs in curves.items()
    }
    apart = {
        name: [one - exact for one, exact in zip(values, means["fp32"], strict=True)] for name, values in means.items()
    }
    steps = len(curves["fp32"][0].losses)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><style>{STYLE}</style>',
        "<title>Loss of the tiny model under each precision</title>",
    ]
    for number, name in enumerate(means):
        x = LEFT + number * 108
        parts.append(f'<path class="l" stroke="{COLOURS[number]}" stroke-width="3" d="M{x},14h18"/>')
        parts.append(f'<text x="{x + 24}" y="18">{name}</text>')
    parts += panel(LEFT, "loss", means, steps)
    parts += panel(LEFT + PANEL + MIDDLE, "loss less fp32's", apart, steps)
    return "\n".join([*parts, "</svg>\n"])


def panel(left: float, title: str, lines: Mapping[str, Sequence[float]], steps: int) -> list[str]:
    values = [value for line in lines.values() for value in line]
    ticks = nice(min(values), max(values))
    low, high, bottom = min(ticks[0], *values), max(ticks[-1], *values), HEIGHT - 34

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - TOP - 16)

    found = [f'<text class="t" x="{left:.0f}" y="{TOP}">{title}</text>']
    for tick in ticks:
        found.append(f'<path class="g" d="M{left:.1f},{y(tick):.1f}h{PANEL:.1f}"/>')
        found.append(f'<text x="{left - 6:.1f}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.3g}</text>')
    for number, line in enumerate(lines.values()):
        places = [left + (place + 0.5) / len(line) * PANEL for place in range(len(line))]
        path = " ".join(f"{x:.1f},{y(value):.1f}" for x, value in zip(places, line, strict=True))
        found.append(f'<path class="l" stroke="{COLOURS[number]}" d="M{path}"/>')
    found.append(f'<text x="{left:.1f}" y="{HEIGHT - 14}">0</text>')
    found.append(f'<text x="{left + PANEL:.1f}" y="{HEIGHT - 14}" text-anchor="end">{steps} steps</text>')
    return found


def stretches(losses: Sequence[float], count: int = 40) -> list[float]:
    """Means of stretches of equal length."""
    ends = [len(losses) * number // count for number in range(count + 1)]
    return [fmean(losses[first:end]) for first, end in pairwise(ends)]


def nice(low: float, high: float) -> list[float]:
    """Round numbers between the two, three to six of them."""
    size = 10.0
    while size > 1e-9:
        for step in (size, size / 2, size / 5):
            ticks = [step * number for number in range(round(low / step) - 1, round(high / step) + 2)]
            inside = [tick for tick in ticks if low <= tick <= high]
            if len(inside) >= 3:
                return inside
        size /= 10
    return [low, high]


if __name__ == "__main__":
    main()

"""Planning speed: each pass over generated recipes, and the whole command against a Snakemake dry run of the same DAG.

    python -P benchmarks/planning.py [--sizes 100 1000 10000] [--repeats 1] [--no-snakemake] [--json]

Two recipes of N stages. `written`: N stages in the file, in chains of ten, no two alike. `unrolled`: a dozen entries in
the file, in a loop in a sweep that unroll to N stages and a few more, round upon round.

Every measurement is a process of its own. Seconds are CPU seconds, user and system, so that other work on the machine
disturbs them little; memory is the largest resident set. Snakemake is installed into a throw-away environment and plans
the chains of `written` from ten rules with a wildcard: its own short way to write them, not N rules.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
SNAKEMAKE = "snakemake>=9,<10"
SIZES = (100, 1_000, 10_000)
CHAIN = 10


# --- recipes ---------------------------------------------------------------------------------------------------------

_PIECES = """\
rung: 1
name: planning
models:
  small:
    num_layers: 3
    hidden_size: 128
    ffn_hidden_size: 512
    num_attention_heads: 4
    num_query_groups: 2
    vocab_size: 512
    seq_length: 64
    activation: squared_relu
    normalization: layernorm1p
    norm_epsilon: 1e-5
    rotary_percent: 0.5
    rotary_base: 10k
    linear_bias: false
    tie_embeddings: false
    init_std: 0.02
splits: {by_prompt: {salt: bench, shares: {evaluation: 0.2, training: 0.8}}}
optimizers: {adam: {beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weight_decay: 0.1, clip_grad: 1.0}}
precisions: {fp32: {dtype: fp32}}
generators: {all: {kind: tasks, families: {reverse: 1, sort: 1}}}
judges: {truth: {kind: ground_truth}}
"""

_BASE = """\
  prompts_0: {kind: prompts, generator: all, count: 5k, split: by_prompt, parts: [training], seed: SEED}
  answers_0: {kind: annotate, prompts: prompts_0, error_rate: 0.1, seed: 1}
  blend_0: {kind: mix, rows: dialogues, data: {answers_0: 1}, count: 4k, seed: 1}
  tokenizer_0: {kind: tokenizer, data: [blend_0], vocab_size: 400, chat_template: compact}
  tokens_0: {kind: tokenize, data: blend_0, tokenizer: tokenizer_0}
  base_0:
    kind: pretrain
    model: small
    tokenizer: tokenizer_0
    seq_length: 64
    phases:
      - name: main
        blend: {tokens_0: 1}
        batch_ramp: [{global_batch_size: 16, tokens: 100k}, {global_batch_size: 32, tokens: 100k}]
        learning_rate: {shape: cosine, start: 5e-3, end: 5e-4, warmup_steps: 10}
    optimizer: adam
    precision: fp32
    seed: SEED
"""

_TUNED = """\
  responses_0:
    kind: generate
    policy: base_0
    prompts: prompts_0
    samples: 4
    sampling: {temperature: 1.0, top_p: 1.0, max_new_tokens: 24}
    seed: 1
  scores_0: {kind: judge, judge: truth, responses: responses_0}
  kept_0:
    {kind: filter, responses: responses_0, scores: {truth: scores_0}, at_least: {truth: 1}, per_prompt: 1}
  tuned_0:
    kind: sft
    init: base_0
    data: kept_0
    epochs: 2
    global_batch_size: 32
    learning_rate: {shape: constant, start: 5e-4, end: 5e-4, warmup_steps: 0}
    optimizer: adam
    precision: fp32
    seed: 1
"""

_LOOP = """\
  exam_prompts: {kind: prompts, generator: all, count: 800, split: by_prompt, parts: [evaluation], seed: 1}
  loop:
    repeat: ROUNDS
    carry: {policy: base_0}
    stages:
      prompts: {kind: prompts, generator: all, count: 5k, split: by_prompt, parts: [training], seed: "${round}"}
      answers: {kind: annotate, prompts: prompts, error_rate: 0.1, seed: 1}
      responses:
        kind: generate
        policy: ${policy}
        prompts: prompts
        samples: 4
        sampling: {temperature: 1.0, top_p: 1.0, max_new_tokens: 24}
        seed: ${params.seed}
      scores: {kind: judge, judge: truth, responses: responses}
      kept:
        {kind: filter, responses: responses, scores: {truth: scores}, at_least: {truth: 1}, per_prompt: 1}
      blend: {kind: mix, rows: dialogues, data: {kept: 0.9, answers: 0.1}, count: 1k, seed: 1}
      tuned:
        kind: sft
        init: ${policy}
        data: blend
        epochs: 2
        global_batch_size: 32
        learning_rate: &constant {shape: constant, start: 5e-4, end: 5e-4, warmup_steps: 0}
        optimizer: adam
        precision: fp32
        seed: ${params.seed}
      pairs:
        kind: pair
        responses: responses
        scores: {truth: scores}
        reward: {truth: 1}
        rejected: worst
        min_margin: 0
        chosen_at_least: {}
        seed: 1
      preferred:
        kind: prefer
        loss: {kind: dpo, beta: 0.1, sft_weight: 0.1, sft_average: false}
        init: tuned
        reference: tuned
        data: pairs
        epochs: 1
        global_batch_size: 32
        learning_rate: *constant
        optimizer: adam
        precision: fp32
        seed: ${params.seed}
      exam: {kind: evaluate, policy: preferred, prompts: exam_prompts, max_new_tokens: 24, seed: 1}
    yield: {policy: preferred}
"""


def written_recipe(num_stages: int) -> Iterator[str]:
    """Stages one by one, in chains of ten: from prompts to a policy tuned on the best of its own answers."""
    yield f"{_PIECES}pipeline:\n"
    for number in range(1, num_stages // CHAIN + 1):
        yield (_BASE + _TUNED).replace("_0", f"_{number}").replace("SEED", str(number))


def unrolled_recipe(num_stages: int) -> Iterator[str]:
    """A sweep over seeds of a loop of ten stages, and of seven stages before it; at most 100 rounds."""
    rounds = min(100, round((num_stages / CHAIN) ** 0.5))
    seeds = num_stages // CHAIN // rounds
    yield f"{_PIECES}params: {{seed: 1}}\nmatrix: {{params.seed: {list(range(1, seeds + 1))}}}\npipeline:\n"
    yield _BASE.replace("SEED", '"${params.seed}"')
    yield _LOOP.replace("ROUNDS", str(rounds))


RECIPES: Mapping[str, Callable[[int], Iterator[str]]] = {"written": written_recipe, "unrolled": unrolled_recipe}


# --- the same DAG for Snakemake --------------------------------------------------------------------------------------

_NEEDS = {
    "prompts": (),
    "answers": ("prompts",),
    "blend": ("answers",),
    "tokenizer": ("blend",),
    "tokens": ("blend", "tokenizer"),
    "base": ("tokens", "tokenizer"),
    "responses": ("base", "prompts"),
    "scores": ("responses",),
    "kept": ("responses", "scores"),
    "tuned": ("base", "kept"),
}
"""The edges of one chain of `written`."""


def snakefile(num_stages: int) -> Iterator[str]:
    """The chains of `written` from ten rules, one wildcard and a target that asks for the ends."""
    yield f'rule all:\n    input: expand("tuned/{{n}}", n=range(1, {num_stages // CHAIN} + 1))\n'
    for name, needs in _NEEDS.items():
        files = ", ".join(f'"{need}/{{n}}"' for need in needs)
        yield f'rule {name}:\n    input: {files}\n    output: "{name}/{{n}}"\n    shell: "touch {{output}}"\n'


# --- measuring -------------------------------------------------------------------------------------------------------


class Measured(NamedTuple):
    """What a process took."""

    cpu_s: float
    wall_s: float
    peak_mb: float


def measure(command: Sequence[str | Path], folder: Path, output: Path | None = None) -> Measured:
    """Runs a command to its end in a folder; raises where it fails. `output` is a file for what it prints."""
    with (output or Path(os.devnull)).open("wb") as printed, (folder / "errors").open("w+b") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=printed, stderr=errors, env=_environment(folder))
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(f"{command} ended with {process.returncode}:\n{errors.read().decode()[-2000:]}")
    return Measured(usage.ru_utime + usage.ru_stime, wall_s, usage.ru_maxrss / 1024)


def _environment(folder: Path) -> dict[str, str]:
    """This tree's compiler, compiled to bytecode as an installed one is; nothing is written outside the folder."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    cache = {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    return {**variables, **cache, "PYTHONPATH": str(ROOT), "HOME": str(folder)}


def measure_often(command: Sequence[str | Path], folder: Path, repeats: int) -> Measured:
    """The medians of several runs, after one that compiles modules to bytecode."""
    measure(command, folder)
    runs = [measure(command, folder) for _ in range(repeats)]
    return Measured(*(statistics.median(values) for values in zip(*runs, strict=True)))


def passes_of(recipe: Path) -> list[dict[str, Any]]:
    """Runs the passes in this process: seconds of each, and the largest resident set up to its end."""
    import gc
    from datetime import UTC, datetime

    from compiler.clusters import find_cluster
    from compiler.elaborate import elaborate
    from compiler.graph import build_graph
    from compiler.load import load
    from compiler.plan import make_plan, plan_json
    from compiler.planning.inventory import EMPTY
    from compiler.validate import validate

    # As the command does.
    gc.disable()
    found: list[dict[str, Any]] = []
    began = 0.0

    def note(name: str) -> None:
        nonlocal began
        now = time.process_time()
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        found.append({"pass": name, "cpu_s": now - began, "peak_mb": peak_mb})
        began = now

    note("start")
    document = load(recipe)
    note("load")
    experiment = validate(document)
    note("validate")
    program = elaborate(experiment)
    note("elaborate")
    graph = build_graph(program)
    note("graph")
    plan = make_plan(graph, find_cluster("laptop"), EMPTY, cores=2, now=datetime.now(UTC))
    note("plan")
    json.dumps(plan_json(plan))
    note("JSON")
    found.append({"stages": len(graph)})
    return found


class Bench:
    """Runs the measurements under one temporary folder and prints them as they come."""

    def __init__(self, folder: Path, *, repeats: int, as_json: bool) -> None:
        self._folder = folder
        self._repeats = repeats
        self._as_json = as_json
        self._rung: list[str | Path] = [sys.executable, "-P", "-m", "compiler"]

    def help(self) -> None:
        """`rung --help`."""
        took = measure_often([*self._rung, "--help"], self._folder, self._repeats)
        self._print({"command": "rung --help", **took._asdict()}, f"rung --help: {took.wall_s:.2f} s wall")

    def passes(self, sizes: Sequence[int]) -> None:
        """Every pass, for both recipes at every size."""
        names = ("start", "load", "validate", "elaborate", "graph", "plan", "JSON", "all")
        heads = "".join(f"{name:>10}" for name in names)
        self._say(f"\nCPU seconds of each pass\n{'recipe':10}{'stages':>8}{heads}{'peak MB':>10}")
        for variant in RECIPES:
            for size in sizes:
                *found, last = self._passes(variant, size)
                seconds = [one["cpu_s"] for one in found]
                seconds.append(sum(seconds))
                cells = "".join(f"{value:10.3f}" for value in seconds)
                row = {"recipe": variant, "stages": last["stages"], **dict(zip(names, seconds, strict=True))}
                peak_mb = found[-1]["peak_mb"]
                text = f"{variant:10}{last['stages']:8}{cells}{peak_mb:10.0f}"
                self._print({**row, "peak_mb": peak_mb}, text)

    def _passes(self, variant: str, size: int) -> list[dict[str, Any]]:
        command = [sys.executable, "-P", __file__, "--passes", self._recipe(variant, size)]
        output = self._folder / "passes.json"
        runs = []
        measure(command, self._folder)
        for _ in range(self._repeats):
            measure(command, self._folder, output)
            runs.append(json.loads(output.read_text(encoding="utf-8")))
        return sorted(runs, key=lambda run: sum(one.get("cpu_s", 0.0) for one in run))[len(runs) // 2]

    def commands(self, sizes: Sequence[int], snakemake: Path | None) -> None:
        """The whole command, and the dry run of the same DAG."""
        self._say(
            f"\nwhole commands, CPU seconds and peak MB\n{'stages':>8}{'rung plan --json':>20}{'snakemake -n -q':>20}"
        )
        for size in sizes:
            plan = [*self._rung, "plan", self._recipe("written", size), "--json", "--store", self._folder / "store"]
            ours = measure_often(plan, self._folder, self._repeats)
            row: dict[str, Any] = {"stages": size, "rung": ours._asdict()}
            text = f"{size:8}{ours.cpu_s:12.2f}{ours.peak_mb:8.0f}"
            if snakemake is not None:
                file = self._folder / "Snakefile"
                _write(file, snakefile(size))
                dry = [snakemake, "-n", "-q", "--snakefile", file]
                theirs = measure_often(dry, self._folder, self._repeats)
                row |= {"snakemake": theirs._asdict(), "ratio": theirs.cpu_s / ours.cpu_s}
                text += f"{theirs.cpu_s:12.2f}{theirs.peak_mb:8.0f}   {row['ratio']:.1f} times"
            self._print(row, text)

    def _recipe(self, variant: str, size: int) -> Path:
        file = self._folder / f"{variant}_{size}.yaml"
        if not file.exists():
            _write(file, RECIPES[variant](size))
        return file

    def _say(self, text: str) -> None:
        if not self._as_json:
            print(text, flush=True)

    def _print(self, row: Mapping[str, Any], text: str) -> None:
        print(json.dumps(row) if self._as_json else text, flush=True)


def _write(file: Path, lines: Iterator[str]) -> None:
    # Piece by piece: what this process holds would count as the peak of the processes that it starts.
    with file.open("w", encoding="utf-8") as stream:
        stream.writelines(lines)


def install_snakemake(folder: Path) -> Path | None:
    """The command, in a new environment; None where it cannot be installed, which is said."""
    venv.create(folder, with_pip=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", SNAKEMAKE]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"{SNAKEMAKE} cannot be installed, so only our own figures follow: {reason}", file=sys.stderr)
        return None
    return folder / "bin" / "snakemake"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N", help="stages, multiples of 10")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each; medians are printed")
    parser.add_argument("--no-snakemake", action="store_true", help="only our own figures")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--passes", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.passes:
        print(json.dumps(passes_of(options.passes)))
        return
    if any(size < 40 or size % CHAIN for size in options.sizes):
        parser.error("sizes are multiples of 10, from 40 on")
    with tempfile.TemporaryDirectory(prefix="planning-") as name:
        folder = Path(name)
        bench = Bench(folder, repeats=options.repeats, as_json=options.json)
        bench.help()
        bench.passes(options.sizes)
        bench.commands(options.sizes, None if options.no_snakemake else install_snakemake(folder / "venv"))


if __name__ == "__main__":
    main()

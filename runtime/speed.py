"""`python -P -m runtime.speed`: what one core of this machine takes for what stages do, as JSON, in some seconds.

CPU seconds are measured, so that waiting for others' work on the machine does not count. Training and generation are
timed at two sizes each, so that what grows with the FLOPs can be told apart from what every step costs.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import median

from compiler.artifacts import DialogueRow, Message, PromptRow
from compiler.schema.model import Layout, ModelSpec, Precision
from compiler.schema.training import Optimizer
from runtime.rows import messages_id, read_rows, write_rows

MODEL = ModelSpec(
    num_layers=4,
    hidden_size=128,
    ffn_hidden_size=512,
    num_attention_heads=4,
    num_query_groups=2,
    vocab_size=512,
    seq_length=64,
    activation="squared_relu",
    normalization="layernorm1p",
    norm_epsilon=1e-5,
    rotary_percent=0.5,
    rotary_base=10_000,
    linear_bias=False,
    tie_embeddings=False,
    init_std=0.02,
)
"""Of a laptop's recipe."""
TRAINED = ((32, 20), (32, 64))
"""(rows, tokens of a row) of a step."""
ANSWERED = ((32, 16), (256, 16))
"""(rows, tokens of a prompt, and new ones of each row) of a batch."""
_STEPS = 12
_ROWS = 2000


def main() -> None:
    """Prints the seconds, and the shape of the model that they are of."""
    started = time.process_time()
    from runtime.engine import parallel
    from runtime.engine.model import build

    with parallel.start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1):
        model = build(MODEL, Layout(), Precision(dtype="fp32"), seed=1)
        engine_s = time.process_time() - started
        trained = [
            {"tokens": rows * length, "seq_length": length, "seconds": _training_s(model, rows, length)}
            for rows, length in TRAINED
        ]
        answered = [
            {"tokens": 2 * rows * length, "seq_length": 2 * length, "steps": length, "seconds": seconds}
            for rows, length in ANSWERED
            for seconds in [_answering_s(model, rows, length)]
        ]
    found = {"engine_s": engine_s, "rows_per_s": _rows_per_s(), "trained": trained, "answered": answered}
    sys.stdout.write(json.dumps({"model": MODEL.model_dump(), **found}) + "\n")


def _cpu_s(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _training_s(model: object, rows: int, length: int) -> float:
    """CPU seconds of an optimizer step."""
    import torch

    from runtime.engine.batch import Batch
    from runtime.engine.loop import train
    from runtime.engine.objective import next_token

    ends: list[float] = []

    def batches(step: int) -> list[Batch]:
        tokens = torch.randint(0, MODEL.vocab_size, (rows, length + 1))
        return [Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), torch.ones(rows, length))]

    train(
        model,  # type: ignore[arg-type]
        Optimizer(beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1, clip_grad=1.0),
        num_steps=_STEPS,
        learning_rate=lambda step: 1e-3,
        micro_batches=batches,
        objective=next_token,
        on_step=lambda record: ends.append(time.process_time()),
    )
    # The first steps pay for allocation and caches.
    return median(end - begin for begin, end in pairwise(ends[1:]))


def _answering_s(model: object, rows: int, length: int) -> float:
    """CPU seconds of a batch of prompts and as many new tokens, sampled."""
    import numpy as np

    from runtime.engine.generate import generate

    random = np.random.default_rng(1)
    prompts = random.integers(0, MODEL.vocab_size, (rows, length)).tolist()
    noise = random.random((rows, length))

    def once() -> object:
        # An end that no token is: every row is written to its limit.
        return list(
            generate(
                model,  # type: ignore[arg-type]
                prompts,
                max_new_tokens=length,
                end_id=MODEL.vocab_size,
                temperature=1.0,
                uniforms=lambda row: noise[row],
                batch_size=rows,
            )
        )

    once()
    return median(_cpu_s(once) for _ in range(3))


def _rows_per_s() -> float:
    """Rows that are read, answered by their task's own solver, and written."""
    from runtime import tasks

    family, random = tasks.find("sort"), Random(1)
    with tempfile.TemporaryDirectory() as folder:
        made, answered = Path(folder) / "prompts", Path(folder) / "answers"
        made.mkdir()
        answered.mkdir()
        drawn = [family.draw(random) for _ in range(_ROWS)]
        prompts = [
            PromptRow(id=str(n), family="sort", messages=(Message(role="user", content=task.prompt),), origin="")
            for n, task in enumerate(drawn)
        ]
        write_rows(made, prompts)

        def answer() -> None:
            rows = []
            for prompt in read_rows(made, PromptRow):
                task = family.parse(prompt.messages[-1].content)
                assert task is not None
                said = Message(role="assistant", content=family.answer(task, Random(prompt.id)))
                messages = (*prompt.messages, said)
                row = DialogueRow(
                    id=messages_id(messages), prompt_id=prompt.id, family="sort", messages=messages, origin=""
                )
                rows.append(row)
            write_rows(answered, rows)

        return _ROWS / _cpu_s(answer)


if __name__ == "__main__":
    main()

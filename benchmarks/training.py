"""Training speed of the engine against the same model in a hand-written plain torch loop.

    python -P benchmarks/training.py [--quick]

Steps of the two are interleaved in one process on one thread, so that both meet the same noise; medians of CPU time
are compared. The plain loop uses fused AdamW, torch's fused attention and fused cross-entropy: what one would write.
A ratio of 0.9 says that the engine needs 1.11 times the plain loop's time.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "runtime" / "engine")]

import torch  # noqa: E402
from plain_torch import PlainTraining, from_megatron  # noqa: E402

from compiler.schema.model import Layout, ModelSpec, Precision  # noqa: E402
from compiler.schema.training import Optimizer  # noqa: E402
from runtime.engine import parallel  # noqa: E402
from runtime.engine.batch import Batch  # noqa: E402
from runtime.engine.loop import train  # noqa: E402
from runtime.engine.model import build  # noqa: E402
from runtime.engine.objective import next_token  # noqa: E402

ADAM = Optimizer(beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1, clip_grad=1.0)
# (hidden, layers, heads, groups, feed-forward, vocabulary), (rows, tokens of a row)
TINY, SMALL, LARGE = (128, 4, 4, 2, 512, 512), (192, 5, 6, 2, 768, 512), (448, 10, 7, 1, 1792, 8192)
CASES = [
    *((TINY, batch) for batch in ((64, 16), (256, 16), (64, 64), (256, 64))),
    *((SMALL, batch) for batch in ((64, 16), (128, 32), (64, 64))),
    (LARGE, (2, 512)),
]
BF16_CASES = [(TINY, 1024), (SMALL, 1024)]


def spec_of(shape: tuple[int, int, int, int, int, int]) -> ModelSpec:
    hidden, layers, heads, groups, feed_forward, vocabulary = shape
    return ModelSpec(
        num_layers=layers,
        hidden_size=hidden,
        ffn_hidden_size=feed_forward,
        num_attention_heads=heads,
        num_query_groups=groups,
        vocab_size=vocabulary,
        seq_length=512,
        activation="squared_relu",
        normalization="layernorm1p",
        norm_epsilon=1e-5,
        rotary_percent=0.5,
        rotary_base=10_000,
        linear_bias=False,
        tie_embeddings=False,
        init_std=0.02,
    )


def compare(spec: ModelSpec, rows: int, length: int, dtype: str, num_steps: int) -> dict[str, float]:
    precision = Precision.model_validate({"dtype": dtype})
    model = build(spec, Layout(), precision, seed=1)
    names = dict(model.chunks[0].named_parameters())
    plain = from_megatron(spec, {name: weight.data for name, weight in names.items()})
    plain = plain.to(torch.bfloat16) if dtype == "bf16" else plain
    by_hand = PlainTraining(plain, learning_rate=1e-3, weight_decay=0.1, betas=(0.9, 0.95), epsilon=1e-8, clip=1.0)
    plain_seconds: list[float] = []
    engine_seconds: list[float] = []
    began = 0.0

    def micro_batches(step: int) -> list[Batch]:
        nonlocal began
        tokens = torch.randint(0, spec.vocab_size, (rows, length + 1))
        batch = Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), torch.ones(rows, length))
        began = time.process_time()
        by_hand.step([(batch.tokens_BL, batch.labels_BL, batch.loss_mask_BL)])
        plain_seconds.append(time.process_time() - began)
        began = time.process_time()
        return [batch]

    train(
        model,
        ADAM,
        num_steps=num_steps,
        learning_rate=lambda step: 1e-3,
        micro_batches=micro_batches,
        objective=next_token,
        on_step=lambda record: engine_seconds.append(time.process_time() - began),
    )
    # The first steps pay for allocation and caches.
    plain_s, engine_s = (statistics.median(times[2:]) for times in (plain_seconds, engine_seconds))
    return {
        "engine_tokens_per_s": rows * length / engine_s,
        "plain_tokens_per_s": rows * length / plain_s,
        "ratio": plain_s / engine_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two shapes in fp32 only")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with parallel.start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1):
        for dtype in ("fp32",) if options.quick else ("fp32", "bf16"):
            for shape, (rows, length) in CASES[:2] if options.quick else CASES:
                if (
                    dtype == "bf16"
                    and not torch.cpu._is_avx512_bf16_supported()
                    and (shape, rows * length) not in BF16_CASES
                ):
                    continue  # without bf16 instructions a step takes ten times as long, and says nothing more
                num_steps = 8 if shape == LARGE else 14
                found = compare(spec_of(shape), rows, length, dtype, num_steps)
                case = {"dtype": dtype, "hidden": shape[0], "layers": shape[1], "rows": rows, "tokens": length}
                if options.json:
                    print(json.dumps({**case, **found}), flush=True)
                    continue
                print(
                    f"{dtype} h{shape[0]} {shape[1]} layers, {rows:3} x {length:3} tokens: "
                    f"engine {found['engine_tokens_per_s']:7.0f} tokens/s, plain {found['plain_tokens_per_s']:7.0f}, "
                    f"ratio {found['ratio']:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()

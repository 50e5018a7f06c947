"""DPO with the engine against TRL's DPOTrainer: the same weights, pairs, order and losses, in one run on one thread.

    python -P benchmarks/preference.py [--steps N] [--batch N] [--micro N] [--json]

Pairs have the lengths of HH-RLHF's harmless test split (prompts of several turns, 100 tokens in the mean; chosen
answers 38, rejected 48; log-normal); their tokens are random. The model is a small Llama, fp32. TRL runs twice: `tuned`
is the fastest that its options allow here (reference log-probabilities precomputed, no gradient checkpointing),
`default` is what one gets without asking. CPU seconds are compared, since machines are shared; wall seconds stand
beside them. All sides count their reference passes, and none what comes before them (TRL takes a second or two to make
its trainer). Where losses differ by more than 1e-4 at any step, it fails.
Needs `pip install -e '.[train,bench]'`.
"""

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
for name in ("HF_HUB_OFFLINE", "TQDM_DISABLE", "TRANSFORMERS_NO_ADVISORY_WARNINGS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from compiler.schema.losses import DPO  # noqa: E402
from compiler.schema.model import Layout, ModelSpec, Precision  # noqa: E402
from compiler.schema.training import Optimizer  # noqa: E402
from runtime.engine import parallel  # noqa: E402
from runtime.engine.batch import Batch, collate  # noqa: E402
from runtime.engine.logprobs import all_sequence_logprobs  # noqa: E402
from runtime.engine.loop import train  # noqa: E402
from runtime.engine.model import Model, build  # noqa: E402
from runtime.engine.objective import LossOutput  # noqa: E402
from runtime.losses.dpo import loss as dpo  # noqa: E402
from runtime.pairs import Answer, Pairs, pair_logprobs  # noqa: E402

SPEC = ModelSpec(
    num_layers=6,
    hidden_size=256,
    ffn_hidden_size=704,
    num_attention_heads=4,
    num_query_groups=2,
    vocab_size=8192,
    seq_length=1024,
    activation="swiglu",
    normalization="rmsnorm",
    norm_epsilon=1e-5,
    rotary_percent=1.0,
    rotary_base=10_000,
    linear_bias=False,
    tie_embeddings=True,
    init_std=0.02,
)
LOSS = DPO(kind="dpo", beta=0.1, sft_weight=0.0, sft_average=False)
ADAM = Optimizer(beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0, clip_grad=1.0)
RATE = 1e-4


@dataclass(frozen=True)
class Pair:
    prompt: list[int]
    chosen: list[int]
    rejected: list[int]


@dataclass
class Ran:
    """What one trainer did."""

    losses: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    wall_s: float = 0.0
    reference_cpu_s: float = 0.0

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """What is done within takes time that counts."""
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.cpu_s += time.process_time() - cpu
        self.wall_s += time.perf_counter() - wall


def make_pairs(count: int) -> list[Pair]:
    draw = np.random.default_rng(7)

    def tokens(mean: float, deviation: float, longest: int) -> list[int]:
        variance = np.log(1 + (deviation / mean) ** 2)
        length = draw.lognormal(np.log(mean) - variance / 2, np.sqrt(variance))
        return draw.integers(3, SPEC.vocab_size, int(np.clip(round(length), 4, longest))).tolist()

    return [Pair(tokens(100, 99, 500), tokens(38, 36, 250), tokens(48, 48, 250)) for _ in range(count)]


def run_ours(weights: Mapping[str, Tensor], pairs: list[Pair], batch: int, micro: int, *, shared: bool = True) -> Ran:
    ran = Ran()
    model = build(SPEC, Layout(), Precision(dtype="fp32"), seed=1)
    copy_weights(weights, model)
    answers = [
        Answer((*pair.prompt, *answer), (0,) * len(pair.prompt) + (1,) * len(answer))
        for pair in pairs
        for answer in (pair.chosen, pair.rejected)
    ]
    rows, masks = [answer.token_ids for answer in answers], [answer.mask for answer in answers]
    with ran.counted():
        reference = all_sequence_logprobs(model, rows, masks, group=2 if shared else 1, pad_id=0)
    ran.reference_cpu_s = ran.cpu_s
    data = Pairs(answers, torch.zeros(len(answers)), reference, pad_id=0)

    def padded(numbers: list[int]) -> Batch:
        """As everybody does it: each answer with its own prompt, padded to the longest of the micro-batch."""
        mine = [answer for number in numbers for answer in (2 * number, 2 * number + 1)]
        extra = {"reference": reference[mine], "rewards": torch.zeros(len(mine))}
        return collate([rows[row] for row in mine], [masks[row] for row in mine], extra=extra)

    def micro_batches(step: int) -> list[Batch]:
        numbers = list(range(step * batch, (step + 1) * batch))
        make = data.batch if shared else padded
        return [make(numbers[first : first + micro]) for first in range(0, batch, micro)]

    def objective(logprobs_BL: Tensor, made: Batch) -> LossOutput:
        return dpo(LOSS, pair_logprobs(logprobs_BL, made))

    with ran.counted():
        train(
            model,
            ADAM,
            num_steps=len(pairs) // batch,
            learning_rate=lambda step: RATE,
            micro_batches=micro_batches,
            objective=objective,
            on_step=lambda record: ran.losses.append(record.loss),
        )
    return ran


def run_trl(weights: Mapping[str, Tensor], pairs: list[Pair], batch: int, micro: int, *, tuned: bool) -> Ran:
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from torch.utils.data import SequentialSampler
    from transformers import PreTrainedTokenizerFast
    from trl import DPOConfig, DPOTrainer

    ran = Ran()
    micro_losses: list[float] = []

    class InOrder(DPOTrainer):
        """The rows are tokens already, and come in the order in which they stand."""

        def _prepare_dataset(self, dataset, *args, **kwargs):
            return dataset

        def _get_train_sampler(self, dataset=None):
            return SequentialSampler(dataset if dataset is not None else self.train_dataset)

        def _precompute_ref_logps(self, *args, **kwargs):
            with ran.counted():
                found = super()._precompute_ref_logps(*args, **kwargs)
            ran.reference_cpu_s = ran.cpu_s
            return found

        def compute_loss(self, model, inputs, **kwargs):
            found = super().compute_loss(model, inputs, **kwargs)
            micro_losses.append(float(found.detach()))
            return found

    words = {"<pad>": 0, "<end>": 1, "<unk>": 2}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<unk>")), pad_token="<pad>", eos_token="<end>"
    )
    rows = {
        "prompt_ids": [pair.prompt for pair in pairs],
        "chosen_ids": [pair.chosen for pair in pairs],
        "rejected_ids": [pair.rejected for pair in pairs],
    }
    with tempfile.TemporaryDirectory() as folder:
        fastest = {"precompute_ref_log_probs": True, "gradient_checkpointing": False} if tuned else {}
        config = DPOConfig(
            output_dir=folder,
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=batch // micro,
            max_steps=len(pairs) // batch,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            adam_beta2=ADAM.beta2,
            weight_decay=0.0,
            max_grad_norm=ADAM.clip_grad,
            optim="adamw_torch_fused",
            beta=LOSS.beta,
            max_length=None,
            bf16=False,
            use_cpu=not torch.cuda.is_available(),
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
            **fastest,
        )
        trainer = InOrder(
            model=hugging_face(weights),
            ref_model=None if tuned else hugging_face(weights),
            args=config,
            train_dataset=Dataset.from_dict(rows),
            processing_class=tokenizer,
        )
        with contextlib.redirect_stdout(io.StringIO()), ran.counted():
            trainer.train()
    per_step = np.array(micro_losses).reshape(-1, batch // micro)
    ran.losses = per_step.mean(axis=1).tolist()
    return ran


def hugging_face(weights: Mapping[str, Tensor]) -> torch.nn.Module:
    """A Llama of this shape in transformers, with these weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=SPEC.vocab_size,
            hidden_size=SPEC.hidden_size,
            intermediate_size=SPEC.ffn_hidden_size,
            num_hidden_layers=SPEC.num_layers,
            num_attention_heads=SPEC.num_attention_heads,
            num_key_value_heads=SPEC.num_query_groups,
            max_position_embeddings=SPEC.seq_length,
            rms_norm_eps=SPEC.norm_epsilon,
            rope_theta=float(SPEC.rotary_base),
            tie_word_embeddings=SPEC.tie_embeddings,
            attn_implementation="sdpa",
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
        )
    )
    if weights:
        model.load_state_dict(dict(weights))
    return model


def copy_weights(weights: Mapping[str, Tensor], model: Model) -> None:
    """transformers' Llama into ours: queries, keys and values by group, gate and up as one matrix."""
    groups, head = SPEC.num_query_groups, SPEC.head_dim
    names = {"embedding.word_embeddings.weight": weights["model.embed_tokens.weight"]}
    names["decoder.final_layernorm.weight"] = weights["model.norm.weight"]
    for number in range(SPEC.num_layers):
        theirs, ours = f"model.layers.{number}", f"decoder.layers.{number}"
        parts = [
            weights[f"{theirs}.self_attn.{part}_proj.weight"].view(groups, -1, head, SPEC.hidden_size)
            for part in ("q", "k", "v")
        ]
        names[f"{ours}.self_attention.linear_qkv.weight"] = torch.cat(parts, dim=1).flatten(0, 2)
        names[f"{ours}.self_attention.linear_proj.weight"] = weights[f"{theirs}.self_attn.o_proj.weight"]
        gated = [weights[f"{theirs}.mlp.{part}_proj.weight"] for part in ("gate", "up")]
        names[f"{ours}.mlp.linear_fc1.weight"] = torch.cat(gated)
        names[f"{ours}.mlp.linear_fc2.weight"] = weights[f"{theirs}.mlp.down_proj.weight"]
        names[f"{ours}.input_layernorm.weight"] = weights[f"{theirs}.input_layernorm.weight"]
        names[f"{ours}.pre_mlp_layernorm.weight"] = weights[f"{theirs}.post_attention_layernorm.weight"]
    for name, parameter in model.chunks[0].named_parameters():
        parameter.data.copy_(names.pop(name))
    assert not names, sorted(names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--batch", type=int, default=16, help="pairs of a step")
    parser.add_argument("--micro", type=int, default=8, help="pairs of a forward pass")
    parser.add_argument("--skip-default", action="store_true", help="leave out TRL's default options")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    weights = {name: weight.clone() for name, weight in hugging_face({}).state_dict().items()}
    pairs = make_pairs(options.steps * options.batch)
    size = (options.batch, options.micro)
    run_trl(weights, pairs[: options.batch], *size, tuned=True)  # imports and first allocations
    runs = {}
    with parallel.start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1):
        run_ours(weights, pairs[: options.batch], *size)
        runs["rung"] = run_ours(weights, pairs, *size)
        runs["rung, unshared and padded"] = run_ours(weights, pairs, *size, shared=False)
    runs["trl tuned"] = run_trl(weights, pairs, *size, tuned=True)
    if not options.skip_default:
        runs["trl default"] = run_trl(weights, pairs, *size, tuned=False)
    ours = runs["rung"]
    for name, ran in runs.items():
        apart = max(abs(one - other) for one, other in zip(ours.losses, ran.losses, strict=True))
        row = {
            "name": name,
            "pairs_per_cpu_s": len(pairs) / ran.cpu_s,
            "pairs_per_wall_s": len(pairs) / ran.wall_s,
            "reference_share": ran.reference_cpu_s / ran.cpu_s,
            "rung_is_faster_by": ran.cpu_s / ours.cpu_s,
            "largest_difference_of_losses": apart,
            "last_loss": ran.losses[-1],
        }
        if options.json:
            print(json.dumps(row), flush=True)
        else:
            print(
                f"{name:26} {row['pairs_per_cpu_s']:6.2f} pairs/CPU s, {row['pairs_per_wall_s']:6.2f} pairs/s, "
                f"rung is {row['rung_is_faster_by']:.2f} times as fast; losses differ by {apart:.1e}",
                flush=True,
            )
        if apart > 1e-4:
            sys.exit(f"{name}: the losses differ by {apart}, so that the times say nothing")


if __name__ == "__main__":
    main()

"""What a training step computes is what plans say it computes: counted by torch itself, operation by operation."""

from collections.abc import Sequence

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from compiler.schema.model import Layout, ModelSpec, Precision
from compiler.schema.training import Optimizer
from runtime.engine.batch import Batch, pack
from runtime.engine.loop import StepRecord, train
from runtime.engine.model import build
from runtime.engine.objective import next_token

ADAM = Optimizer(beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1, clip_grad=1.0)


def spec_of(**fields: object) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "num_layers": 2, "hidden_size": 64, "ffn_hidden_size": 192, "num_attention_heads": 4,
            "num_query_groups": 2, "vocab_size": 128, "seq_length": 64, "activation": "squared_relu",
            "normalization": "layernorm1p", "norm_epsilon": 1e-5, "rotary_percent": 0.5, "rotary_base": 10_000,
            "linear_bias": False, "tie_embeddings": False, "init_std": 0.02, **fields,
        }
    )  # fmt: skip


def one_step(spec: ModelSpec, batches: Sequence[Batch]) -> tuple[float, float]:
    """(FLOPs that the step tells, FLOPs that torch counts)"""
    records: list[StepRecord] = []
    model = build(spec, Layout(), Precision(dtype="fp32"), seed=1)
    with FlopCounterMode(display=False) as counter:
        train(
            model,
            ADAM,
            num_steps=1,
            learning_rate=lambda step: 1e-3,
            micro_batches=lambda step: batches,
            objective=next_token,
            on_step=records.append,
        )
    return records[0].flops, counter.get_total_flops()


@pytest.mark.parametrize("fields", [{}, {"activation": "swiglu"}, {"num_query_groups": 4}])
def test_torch_counts_the_flops_of_a_step_that_the_plan_counts(fields: dict[str, object]) -> None:
    spec, rows, length = spec_of(**fields), 3, 48
    tokens = torch.randint(0, 128, (2, rows, length + 1))
    batches = [Batch(one[:, :-1].contiguous(), one[:, 1:].contiguous(), torch.ones(rows, length)) for one in tokens]
    told, counted = one_step(spec, batches)
    assert told == spec.training_flops(2 * rows * length, length)
    assert counted == pytest.approx(told, rel=0.001)


def test_sequences_of_one_row_attend_to_themselves_alone() -> None:
    spec = spec_of()
    told, counted = one_step(spec, [pack([list(range(1, length + 2)) for length in (8, 24, 48)])])
    assert counted == pytest.approx(told, rel=0.001)
    # Far less than if the row were one sequence of 80.
    assert told < spec.training_flops(80, 80)

"""What a policy is asked in."""

import pytest

from runtime.policy import answering_dtype


@pytest.mark.parametrize(
    ("stage", "on_gpu", "expected"),
    [
        ({"kind": "sft", "precision": {"dtype": "bf16"}}, True, "bf16"),
        ({"kind": "sft", "precision": {"dtype": "fp32"}}, True, "fp32"),
        ({"kind": "adopt"}, True, "bf16"),
        ({"kind": "sft", "precision": {"dtype": "bf16"}}, False, "fp32"),
        ({"kind": "adopt"}, False, "fp32"),
    ],
)
def test_a_gpu_asks_a_policy_in_what_it_was_trained_in_and_a_core_in_32_bits(
    stage: dict[str, object], on_gpu: bool, expected: str
) -> None:
    assert answering_dtype(stage, on_gpu=on_gpu) == expected

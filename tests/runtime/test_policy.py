"""What a policy is asked in."""

import pytest

from runtime.policy import answering_dtype

IN_BF16 = {"kind": "sft", "precision": {"dtype": "bf16"}}
IN_FP32 = {"kind": "sft", "precision": {"dtype": "fp32"}}
ADOPTED: dict[str, object] = {"kind": "adopt"}


@pytest.mark.parametrize(
    ("stage", "on_gpu", "has_bf16", "expected"),
    [
        (IN_BF16, True, True, "bf16"),
        (IN_FP32, True, True, "fp32"),
        (ADOPTED, True, True, "bf16"),
        (IN_BF16, False, False, "fp32"),
        (IN_BF16, False, True, "bf16"),
        (IN_FP32, False, True, "fp32"),
        (ADOPTED, False, True, "fp32"),
    ],
)
def test_a_policy_is_asked_in_what_it_was_trained_in_where_that_is_fast(
    stage: dict[str, object], on_gpu: bool, has_bf16: bool, expected: str
) -> None:
    assert answering_dtype(stage, on_gpu=on_gpu, has_bf16=has_bf16) == expected

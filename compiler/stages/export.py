"""export: a policy as other programs read it."""

from typing import ClassVar, Literal

from compiler.artifacts import Kind
from compiler.stages.base import PolicyRef, Stage


class Export(Stage):
    """Hugging Face safetensors with config, tokenizer and chat template; `transformers` loads the folder."""

    output: ClassVar[Kind] = Kind.CHECKPOINT

    kind: Literal["export"]
    policy: PolicyRef
    """What is written."""
    format: Literal["huggingface"]
    """Of the folder."""
    dtype: Literal["fp32", "bf16"]
    """Of the written weights; the policy has them in float32. bf16 is what a policy trained in bf16 computed with."""

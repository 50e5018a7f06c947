"""endpoint: a model that a server serves; where the server is, the cluster file says."""

from typing import ClassVar, Literal

from compiler.artifacts import Kind
from compiler.schema.base import Count
from compiler.stages.base import Stage


class Endpoint(Stage):
    """An OpenAI-compatible server (vLLM, NIM, TensorRT-LLM, llama.cpp) of this model, wherever it is."""

    output: ClassVar[Kind] = Kind.ENDPOINT

    kind: Literal["endpoint"]
    model: str
    """As the server calls it: `mistralai/Mixtral-8x7B-Instruct-v0.1`."""
    revision: str
    """Commit or version of its weights; two revisions are two models."""
    seq_length: Count
    """Longest sequence that it serves, prompt and answer together."""
    active_parameters: Count
    """Parameters that one token passes through, for the plan (12.9B of Mixtral's 46.7B)."""

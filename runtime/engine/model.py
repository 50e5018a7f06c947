"""`build` makes a model from its spec: Megatron's GPTModel with a language head or a regression head."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from megatron.core import parallel_state
from megatron.core.models.gpt import GPTModel
from megatron.core.tensor_parallel import gather_from_sequence_parallel_region
from megatron.core.transformer.module import MegatronModule
from megatron.core.transformer.transformer_config import TransformerConfig
from megatron.core.transformer.transformer_layer import get_transformer_layer_offset
from megatron.core.transformer.utils import make_sharded_tensors_for_checkpoint
from torch import Tensor, nn

from compiler.schema.model import Layout, ModelSpec, Precision
from runtime.engine import sequence
from runtime.engine.config import transformer_config
from runtime.engine.initialize import initialize
from runtime.engine.layers import block_spec
from runtime.engine.parallel import Options
from runtime.engine.vocabulary import token_logprobs

_NO_OPTIONS = Options()
_ONE_RANK = Layout()


@dataclass(frozen=True)
class Regression:
    """A head that gives `num_outputs` values for each sequence: a linear map, with bias, of its last hidden state."""

    num_outputs: int


@dataclass(frozen=True)
class Model:
    """A model as this rank holds it. The chunks are the mutable part: training changes their weights in place."""

    spec: ModelSpec
    layout: Layout
    precision: Precision
    options: Options
    head: Regression | None
    """None is the language head."""
    config: Any
    """Megatron's TransformerConfig."""
    chunks: tuple["GPT", ...]
    """One, or as many as there are virtual pipeline stages on a rank."""


def build(
    spec: ModelSpec,
    layout: Layout,
    precision: Precision,
    *,
    seed: int,
    head: Regression | None = None,
    options: Options = _NO_OPTIONS,
) -> Model:
    """Builds this rank's part of the model, with initial weights that depend on `seed` and `spec` only.

    Must be called inside `parallel.start` with the same layout.
    """
    config = transformer_config(spec, layout, precision, options)
    chunks = _chunks(spec, layout, config, head)
    initialize(chunks, spec, seed=seed)
    if torch.cuda.is_available():
        chunks = tuple(chunk.cuda(torch.cuda.current_device()) for chunk in chunks)
    return Model(spec, layout, precision, options, head=head, config=config, chunks=chunks)


def num_parameters(spec: ModelSpec, layout: Layout = _ONE_RANK, *, head: Regression | None = None) -> int:
    """Exact count of what this rank holds, by building its part without memory on the meta device.

    Needs the groups of the layout (`parallel.divide`).
    """
    config = transformer_config(spec, layout, Precision(dtype="fp32"))
    with torch.device("meta"):
        chunks = _chunks(spec, layout, config, head)
    return sum(parameter.numel() for chunk in chunks for parameter in chunk.parameters())


def _chunks(spec: ModelSpec, layout: Layout, config: Any, head: Regression | None) -> tuple["GPT", ...]:
    num_layers = spec.num_layers // (layout.pp * layout.vpp)
    return tuple(
        GPT(spec, config, head=head, num_layers=num_layers, vp_stage=stage if layout.vpp > 1 else None)
        for stage in range(layout.vpp)
    )


class GPT(GPTModel):  # type: ignore[misc]  # megatron carries no types here
    """GPTModel that answers with log-probabilities of labels, or with regression values.

    `forward(tokens_BL, positions, mask, labels=labels_BL)` gives log p(label) [B, L], with a `loss_mask` of those
    labels only that it counts (0 elsewhere); without labels logits [B, L, V], or values [B, L, K] where the head is a
    regression. Stages of a pipeline before the last give hidden states.
    """

    def __init__(
        self,
        spec: ModelSpec,
        config: TransformerConfig,
        *,
        head: Regression | None,
        num_layers: int,
        vp_stage: int | None,
    ) -> None:
        last = parallel_state.is_pipeline_last_stage(ignore_virtual=False, vp_stage=vp_stage)
        super().__init__(
            config=config,
            transformer_layer_spec=block_spec(
                config, num_layers=num_layers, first_layer=get_transformer_layer_offset(config, vp_stage)
            ),
            vocab_size=spec.vocab_size,
            max_sequence_length=spec.seq_length,
            pre_process=parallel_state.is_pipeline_first_stage(ignore_virtual=False, vp_stage=vp_stage),
            post_process=last,
            parallel_output=True,
            share_embeddings_and_output_weights=spec.tie_embeddings and head is None,
            position_embedding_type="rope",
            rotary_percent=spec.rotary_percent,
            rotary_base=spec.rotary_base,
            # Llama 3's: factor aside, Megatron's numbers are Llama's own (low 1, high 4, 8192 original positions).
            rope_scaling=spec.rotary_scaling is not None,
            rope_scaling_factor=spec.rotary_scaling or 1.0,
            vp_stage=vp_stage,
        )
        self.head = head
        if last and head is not None:
            self.output_layer = RegressionHead(config, head.num_outputs)

    def _preprocess(self, *args: Any, packed_seq_params: Any = None, **kwargs: Any) -> Any:
        """With a `Packing`, the angles of each token's place in its own sequence: [T, 1, 1, D]."""
        if packed_seq_params is None:
            return super()._preprocess(*args, packed_seq_params=None, **kwargs)
        if sequence.ranks() == 1:
            hidden, angles, *rest = super()._preprocess(*args, packed_seq_params=packed_seq_params, **kwargs)
            return (hidden, angles[packed_seq_params.positions_T], *rest)
        # Megatron gives a context-parallel rank the angles of its places in the row.
        hidden, _, *rest = super()._preprocess(*args, packed_seq_params=None, **kwargs)
        angles = self.rotary_pos_emb(packed_seq_params.max_seqlen_q, packed_seq=True)
        return (hidden, angles[sequence.divided(packed_seq_params.positions_T, 0)], *rest)

    def _postprocess(self, hidden_states: Tensor, *args: Any, labels: Any, loss_mask: Any, **kwargs: Any) -> Tensor:
        """Where labels are left out by the mask, the output layer (half of a small model's work) leaves them out too.

        Under sequence parallelism it gathers the hidden states itself, and so sees them all.
        """
        found: Tensor
        rest = {**kwargs, "labels": labels, "loss_mask": None}
        selects = self.post_process and labels is not None and loss_mask is not None
        if not selects or self.config.sequence_parallel or bool(loss_mask.all()):
            found = super()._postprocess(hidden_states, *args, **rest)
            return found * loss_mask.to(found) if selects else found
        counted = loss_mask.transpose(0, 1).reshape(-1).nonzero()[:, 0].to(hidden_states.device)
        wanted = hidden_states.reshape(-1, 1, hidden_states.shape[-1]).index_select(0, counted)
        rest["labels"] = labels.transpose(0, 1).reshape(1, -1).index_select(1, counted)
        logprobs_1C = super()._postprocess(wanted, *args, **rest)
        logprobs = logprobs_1C.new_zeros(loss_mask.numel()).index_copy(0, counted, logprobs_1C[0])
        found = logprobs.view(hidden_states.shape[:2]).transpose(0, 1)
        return found

    def compute_language_model_loss(self, labels: Tensor, logits: Tensor) -> Tensor:
        """Megatron's hook for the loss per token; the engine's objectives take log-probabilities instead."""
        return token_logprobs(logits, labels)

    def sharded_state_dict(self, prefix: str = "", sharded_offsets: Any = (), metadata: Any = None) -> Any:
        """Megatron lets the rows of an output layer differ (vocabulary padding); rows of a regression must not."""
        state = super().sharded_state_dict(prefix, sharded_offsets, metadata)
        if self.head is not None and self.post_process:
            for name in ("weight", "bias"):
                state[f"{prefix}output_layer.{name}"].allow_shape_mismatch = False
        return state


class RegressionHead(MegatronModule):  # type: ignore[misc]  # megatron carries no types here
    """hidden [L, B, H] -> values [L, B, K]; whole on every tensor-parallel rank, since K is small.

    Its keys in a checkpoint are "regression.*", so that a body loaded from a policy never meets the policy's head.
    """

    def __init__(self, config: TransformerConfig, num_outputs: int) -> None:
        super().__init__(config)
        device = "cpu" if config.use_cpu_initialization else torch.cuda.current_device()
        place = {"dtype": config.params_dtype, "device": device}
        if torch.empty(0).is_meta:
            place["device"] = "meta"
        self.weight = nn.Parameter(torch.empty(num_outputs, config.hidden_size, **place))
        self.bias = nn.Parameter(torch.zeros(num_outputs, **place))
        for parameter in (self.weight, self.bias):
            parameter.sequence_parallel = config.sequence_parallel  # type: ignore[attr-defined]

    def forward(self, hidden: Tensor, weight: Any = None, runtime_gather_output: Any = None) -> tuple[Tensor, None]:
        """Takes the arguments that GPTModel gives to its output layer."""
        values = torch.nn.functional.linear(hidden, self.weight, self.bias)
        if self.config.sequence_parallel:
            values = gather_from_sequence_parallel_region(values, tensor_parallel_output_grad=False)
        return values, None

    def sharded_state_dict(self, prefix: str = "", sharded_offsets: Any = (), metadata: Any = None) -> Any:
        """Whole on each tensor-parallel rank; named apart from a language head."""
        state = make_sharded_tensors_for_checkpoint(
            self.state_dict(prefix="", keep_vars=True),
            prefix,
            {},
            sharded_offsets,
            tp_group=parallel_state.get_tensor_model_parallel_group(),
            dp_cp_group=(metadata or {}).get("dp_cp_group"),
        )
        for entry in state.values():
            entry.key = entry.key.replace("output_layer.", "regression.")
        return state


def unwrapped(chunks: Sequence[nn.Module]) -> list[nn.Module]:
    """The chunks themselves, without the data-parallel wrapper."""
    return [getattr(chunk, "module", chunk) for chunk in chunks]

"""What a model says about given rows, without gradients: log-probabilities, or values of a regression head.

Shapes: B rows, L tokens, K outputs of the head. All ranks call these alike, and get the same.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor, nn

from runtime.engine import pipeline, sequence
from runtime.engine.attention import document_mask
from runtime.engine.batch import Batch, lengthened, pack
from runtime.engine.model import Model


def batch_logprobs(model: Model, batch: Batch) -> Tensor:
    """log p(label), float32 [B, L], of every label that counts, and 0 elsewhere."""
    if model.head is not None:
        raise ValueError("log-probabilities need a language head; this model has a regression head")
    return _forward_only(model, batch)


def sequence_logprobs(model: Model, batch: Batch) -> Tensor:
    """Sum of log p over the labels that count, float32 [S]: a reference's log-probability of each answer."""
    return batch.totals(batch_logprobs(model, batch))


def all_sequence_logprobs(
    model: Model,
    rows: Sequence[Sequence[int]],
    masks: Sequence[Sequence[int]],
    *,
    group: int,
    pad_id: int,
    max_tokens: int = 4096,
) -> Tensor:
    """`sequence_logprobs` of any number of rows, float32 [S] on the CPU; data-parallel ranks divide the work.

    Rows stay together group by group (see `pack`), and are computed in batches of about `max_tokens` tokens, which
    depend on the rows alone: the same bits however many ranks there are.
    """
    found_S = torch.zeros(len(rows))
    ranks, rank = parallel_state.get_data_parallel_world_size(), parallel_state.get_data_parallel_rank()
    for numbers in token_batches([len(row) for row in rows], group=group, max_tokens=max_tokens)[rank::ranks]:
        batch = pack([rows[row] for row in numbers], [masks[row] for row in numbers], group=group, pad_id=pad_id)
        found_S[numbers] = sequence_logprobs(model, batch).float().cpu()
    if ranks > 1:
        on_device = found_S.to(torch.cuda.current_device())
        dist.all_reduce(on_device, group=parallel_state.get_data_parallel_group())
        found_S = on_device.cpu()
    return found_S


def token_batches(lengths: Sequence[int], *, group: int, max_tokens: int) -> list[list[int]]:
    """Row numbers by batch of about `max_tokens` tokens: groups in the order of their lengths."""
    groups = [range(first, min(first + group, len(lengths))) for first in range(0, len(lengths), group)]
    groups.sort(key=lambda members: (sum(lengths[row] for row in members), members.start))
    batches: list[list[int]] = []
    room = 0
    for members in groups:
        size = sum(lengths[row] for row in members)
        if not batches or size > room:
            batches.append([])
            room = max_tokens
        batches[-1] += members
        room -= size
    return batches


def values(model: Model, batch: Batch) -> Tensor:
    """The regression head's outputs at each sequence's last token, float32 [S, K]."""
    if model.head is None:
        raise ValueError("values need a regression head; this model has a language head")
    return _forward_only(model, batch)


def forward(model: Model, chunk: nn.Module, batch: Batch) -> Tensor:
    """log p(label) [B, L'], regression values [B, L', K], or the hidden states of a stage that is not the last.

    Log-probabilities of labels that do not count are not computed, and are 0. L' are this context-parallel rank's
    tokens of the padded batch; `pick` gives the objective whole rows again.
    """
    whole = lengthened(batch, padded_length(model, batch.tokens_BL.shape[1]))
    mask = None
    if whole.documents_BL is not None:
        mask = document_mask(whole.documents_BL, model.config.params_dtype)
    rows = (whole.tokens_BL, whole.labels_BL, whole.loss_mask_BL)
    if sequence.ranks() > 1:
        rows = (sequence.divided(rows[0], 1), sequence.divided(rows[1], 1), sequence.divided(rows[2], 1))
        mask = None if mask is None else sequence.divided(mask, 2)
    tokens_BL, labels_BL, loss_mask_BL = rows
    outputs: Tensor = chunk(
        tokens_BL,
        None,
        mask,
        labels=labels_BL if model.head is None else None,
        loss_mask=loss_mask_BL,
        packed_seq_params=whole.packing and whole.packing.on(next(chunk.parameters()).device),
    )
    return outputs


def pick(model: Model, outputs: Tensor, batch: Batch) -> Tensor:
    """What an objective sees of them: log-probabilities [B, L], of values those at the last token, [S, K]."""
    if sequence.ranks() > 1:
        outputs = sequence.joined(outputs.transpose(0, 1), summed=False).transpose(0, 1)
    if model.head is None:
        return outputs[:, : batch.tokens_BL.shape[1]]
    if batch.packing is not None:
        return outputs[0, batch.packing.ends_S.to(outputs.device)].float()
    lengths_B = batch.extra["lengths"].to(outputs.device)
    return outputs[torch.arange(len(lengths_B), device=outputs.device), lengths_B - 1].float()


def padded_length(model: Model, length: int) -> int:
    """The next length that context-parallel and sequence-parallel ranks can divide."""
    layout = model.layout
    multiple = (2 * layout.cp if layout.cp > 1 else 1) * (layout.tp if model.config.sequence_parallel else 1)
    return -(-length // multiple) * multiple


def _forward_only(model: Model, batch: Batch) -> Tensor:
    num_rows, length = batch.tokens_BL.shape
    divided = model.layout.cp * (model.layout.tp if model.config.sequence_parallel else 1)
    hidden = (padded_length(model, length) // divided, num_rows, model.spec.hidden_size)
    num_sequences = num_rows if batch.packing is None else len(batch.packing.ends_S)
    answer = (num_rows, length) if model.head is None else (num_sequences, model.head.num_outputs)

    def run(chunk: nn.Module) -> Tensor:
        outputs = forward(model, chunk, batch)
        return pick(model, outputs, batch) if chunk.post_process else outputs

    was_training = model.chunks[0].training
    for chunk in model.chunks:
        chunk.eval()
    try:
        with torch.no_grad():
            return pipeline.forward_only(model, run, hidden=hidden, answer=answer)
    finally:
        for chunk in model.chunks:
            chunk.train(was_training)

"""One batch forward through the stages of a pipeline, without gradients; training takes Megatron's own schedules.

Without a pipeline these are a call of the model's one chunk.
"""

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor, nn

from runtime.engine.model import Model


def forward_only(
    model: Model, run: Callable[[nn.Module], Tensor], *, hidden: Sequence[int], answer: Sequence[int]
) -> Tensor:
    """What the last stage's `run(chunk)` gives, float32 of the shape `answer`, on all stages.

    `hidden` is the shape of what one stage hands to the next on this rank. Called on every rank.
    """
    if model.layout.pp == 1:
        return run(model.chunks[0]).float()
    stages, stage = model.layout.pp, parallel_state.get_pipeline_model_parallel_rank()
    group = parallel_state.get_pipeline_model_parallel_group()
    ranks = dist.get_process_group_ranks(group)
    device = next(model.chunks[0].parameters()).device
    found = torch.empty(tuple(answer), device=device)
    for number, chunk in enumerate(model.chunks):
        if (number, stage) != (0, 0):
            received = torch.empty(tuple(hidden), dtype=model.config.pipeline_dtype, device=device)
            dist.recv(received, src=ranks[stage - 1], group=group)
            chunk.set_input_tensor(received)
        result = run(chunk)
        if (number, stage) == (len(model.chunks) - 1, stages - 1):
            found.copy_(result)
        else:
            dist.send(result.contiguous(), dst=ranks[(stage + 1) % stages], group=group)
    dist.broadcast(found, src=ranks[-1], group=group)
    return found
